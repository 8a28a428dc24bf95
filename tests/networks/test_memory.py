"""The estimate of a training's memory against what torch's profiler counts, in float32 on the CPU."""

from __future__ import annotations

import gc

import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.memory import peak_of_allocations
from nnunetv2_lwi.networks.dry_run import tensors_of
from nnunetv2_lwi.networks.memory import TrainingMemory, memory_of
from tests.networks.conftest import SMALL
from tests.networks_for_tests import build_unet

CLASSES = 5
BATCH = 3
UNET_PATCH = (32, 32, 32)
OPTIMIZERS = {"SGD": lambda p: torch.optim.SGD(p, 1e-3, momentum=0.9), "AdamW": torch.optim.AdamW}


def build(name):
    if name == "unet":
        return build_unet([[1, 1, 1], [2, 2, 2], [2, 2, 2]], outputs=CLASSES), 1, UNET_PATCH
    return SMALL[name].build(1, CLASSES), 1, SMALL[name].patch_size


def counted_peak(network, channels, patch_size, optimizer) -> int:
    """Of two iterations with nnU-Net's loss at full resolution."""
    kinds = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
    loss = DC_and_CE_loss(kinds, {}, ignore_label=None, dice_class=MemoryEfficientSoftDiceLoss)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        optimizer = OPTIMIZERS[optimizer](network.parameters())
        images = torch.randn(BATCH, channels, *patch_size)
        target = torch.randint(0, CLASSES, (BATCH, 1, *patch_size))
        for _ in range(2):
            optimizer.zero_grad()
            loss(next(iter(tensors_of(network(images)))), target).backward()
            optimizer.step()
    return weights + peak_of_allocations(profiled)


LONG = ("swin_unetr",)
PAIRS = [("unet", "SGD"), ("unet", "AdamW"), *((name, "AdamW") for name in SMALL if name not in LONG)]


@pytest.mark.parametrize(
    ("name", "optimizer"), [*PAIRS, *(pytest.param(name, "AdamW", marks=pytest.mark.slow) for name in LONG)]
)
def test_the_estimate_is_near_what_is_counted(name, optimizer):
    network, channels, patch_size = build(name)
    estimate = memory_of(network, channels, patch_size).needed(BATCH, optimizer, mixed_precision=False)
    counted = counted_peak(network, channels, patch_size, optimizer)
    assert 0.8 < estimate / counted < 1.3, (estimate / 2**20, counted / 2**20)


def test_mixed_precision_halves_what_is_kept_and_adds_weights():
    memory = TrainingMemory(weights=100, saved=1000, largest=50, output=2)
    assert memory.needed(2, "SGD", mixed_precision=False) == 200 + 2 * (1000 + 100)
    assert memory.needed(2, "SGD", mixed_precision=True) == 250 + 2 * (500 + 50)
    assert memory.needed(1, "AdamW", mixed_precision=False) == 300 + 1000 + 100


def test_ranks_hold_the_gradients_once_more():
    memory = TrainingMemory(weights=100, saved=1000, largest=50, output=2)
    alone, shared = (memory.needed(1, "SGD", mixed_precision=False, ranks=ranks) for ranks in (1, 4))
    assert shared - alone == 100


def test_many_classes_cost_what_the_loss_makes_of_them():
    few, many = (memory_of(build_unet([[1, 1, 1], [2, 2, 2]], outputs=n), 1, UNET_PATCH) for n in (2, 100))
    voxels = 32**3
    assert many.output - few.output == 98 * voxels * 4
    assert many.needed(1, "SGD", False) - few.needed(1, "SGD", False) > 4 * 98 * voxels * 4


class Attends(nn.Module):
    """One layer of attention over every voxel."""

    def __init__(self, features: int, by_name: bool = False) -> None:
        super().__init__()
        self.features = features
        self.by_name = by_name
        self.embed = nn.Conv3d(1, 3 * features, 1)

    def forward(self, x):
        parts = self.embed(x).flatten(2).movedim(1, 2).split(self.features, -1)
        named = dict(zip(("query", "key", "value"), parts, strict=True))
        attend = nn.functional.scaled_dot_product_attention
        return attend(**named, dropout_p=0.0) if self.by_name else attend(*parts)


@pytest.mark.parametrize("by_name", [False, True])
def test_attention_keeps_no_map_of_all_tokens_against_all(by_name):
    """On a GPU, and on the CPU, it is computed part by part; on shapes torch would make the map."""
    features, patch_size = 8, (16, 16, 8)
    tokens = 16 * 16 * 8
    saved = memory_of(Attends(features, by_name), 1, patch_size).saved
    assert 4 * 4 * tokens * features <= saved < 4 * tokens * tokens / 4
