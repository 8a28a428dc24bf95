"""Two ranks over gloo: no unused parameters, their own permutations and masks, gathered figures."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.multiprocessing as mp
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_lwi.loss import PretextLoss
from nnunetv2_lwi.pretext_network import PretextNetwork
from nnunetv2_lwi.settings import LWISettings
from nnunetv2_lwi.training.distributed import mean_over_steps
from nnunetv2_lwi.training.randomness import make_generator
from nnunetv2_lwi.transformation import Transformation
from tests.networks_for_tests import build_unet

PATCH = (8, 8, 8)
BLOCKS = [{}, {"reconstruction_weight": 0}, {"order_weight": 0}]


def run_rank(rank: int, folder: str, blocks: list[dict]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    for number, block in enumerate(blocks):
        settings = LWISettings.from_configuration({"lwi": block})
        torch.manual_seed(rank)
        pretext = PretextNetwork.around(build_unet([[1, 1, 1], [2, 2, 2]]), settings, 1, PATCH)
        network = DistributedDataParallel(pretext)
        transformation = Transformation(PATCH, pretext.slabs, settings.masking if settings.reconstructs else None)
        loss = PretextLoss.of(settings, [level.index for level in pretext.order_heads.levels])
        generator = make_generator(torch.device("cpu"), 10 + rank)
        outputs, orders = [], []
        for _ in range(3):
            batch = transformation(torch.randn(4, 1, *PATCH), generator)
            losses = loss(network(batch.masked), batch)
            losses["loss"].backward()
            outputs.append(losses)
            orders.append(batch.order)
        content = {
            "mean": mean_over_steps(outputs),
            "mine": torch.stack([output["loss"] for output in outputs]).mean().item(),
            "order": torch.stack(orders),
            "gradient": next(pretext.parameters()).grad,
        }
        torch.save(content, f"{folder}/{number}_{rank}.pth")
    dist.destroy_process_group()


def test_two_ranks(tmp_path: Path):
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    mp.spawn(run_rank, args=(str(tmp_path), BLOCKS), nprocs=2, join=True)
    for number, block in enumerate(BLOCKS):
        first, second = (torch.load(tmp_path / f"{number}_{rank}.pth", weights_only=True) for rank in range(2))
        assert first["mean"] == second["mean"]
        assert abs(first["mean"]["loss"] - (first["mine"] + second["mine"]) / 2) < 1e-5
        assert torch.equal(first["gradient"], second["gradient"])
        assert torch.equal(first["order"], second["order"]) == ("order_weight" in block)
