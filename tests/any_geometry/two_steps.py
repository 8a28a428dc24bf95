"""Both trainers on one plan and one data set: what must hold of the batches, the losses and the outputs that they used."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil, prod
from pathlib import Path
from typing import Any

import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import save_json
from torch import Tensor

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.method.transformation import Transformation, TransformedBatch, unshuffle_slabs
from nnunetv2_lwi.planning.settings import LWISettings
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import NAME, Options, TinyDataset, short_settings, write_tiny_dataset


@dataclass(frozen=True)
class Plan:
    """A network with its patch, the data set that it is for, the ``lwi`` block, and the fold."""

    options: dict[str, Any] = field(default_factory=dict)
    """Of ``write_tiny_dataset``."""
    lwi: dict[str, Any] = field(default_factory=dict)
    fold: int | str = 0
    splits: list[dict[str, list[str]]] | None = None
    """Content of splits_final.json; None: nnU-Net writes it."""

    @property
    def patch_size(self) -> tuple[int, int, int]:
        return Options(**self.options).patch_size

    @property
    def depths(self) -> list[int]:
        """Of the levels, from the strides: what the software measures instead."""
        strides = Options(**self.options).arch_kwargs["strides"]
        return [self.patch_size[0] // prod(stride[0] for stride in strides[: level + 1]) for level in range(len(strides))]

    @property
    def settings(self) -> LWISettings:
        return LWISettings.from_configuration({"lwi": {**short_settings(), **self.lwi}})

    @property
    def slabs(self) -> int:
        """B."""
        return (self.settings.num_subvolumes or self.depths[-1]) if self.settings.predicts_order else 1

    @property
    def levels_with_head(self) -> list[int]:
        """Those that are named, or all whose depth is a multiple of B."""
        if not self.settings.predicts_order:
            return []
        able = [level for level, depth in enumerate(self.depths) if depth % self.slabs == 0]
        return sorted(self.settings.order_levels or able)

    @property
    def is_possible(self) -> bool:
        """Whether nnU-Net can augment the patch, B divides it, and so with the named levels: else it must be refused."""
        if min(self.patch_size) < 4:
            return False
        if not self.settings.predicts_order:
            return True
        levels = self.levels_with_head
        levels_fit = all(level < len(self.depths) and self.depths[level] % self.slabs == 0 for level in levels)
        return self.slabs >= 2 and self.patch_size[0] % self.slabs == 0 and levels_fit


@contextmanager
def written(plan: Plan) -> Iterator[TinyDataset]:
    """The plan's data set in nnU-Net's folders, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        dataset = write_tiny_dataset(Path(root) / "data", **plan.options)
        if plan.splits is not None:
            save_json(plan.splits, str(dataset.preprocessed / NAME / "splits_final.json"))
        patch.setenv("nnUNet_preprocessed", str(dataset.preprocessed))
        patch.setenv("nnUNet_results", str(dataset.results))
        patch.setenv("nnUNet_n_proc_DA", "0")
        yield dataset


def run_two_steps(plan: Plan) -> bool:
    """Take a plan through steps of both trainers, and check; returns whether it was possible.

    A plan that is not must be refused in one line, with nothing written.
    """
    with written(plan) as dataset:
        if not plan.is_possible:
            with pytest.raises(UserError, match=r"is not allowed|is too thin"):
                dataset.trainer(nnUNetTrainerLWIInit, plan.fold, **plan.lwi)
            assert os.listdir(dataset.results) == []
            return False
        check_step1(plan, dataset)
        check_step2(plan, dataset)
        return True


def check_step1(plan: Plan, dataset: TinyDataset) -> nnUNetTrainerLWIInit:
    """Two training steps and one of validation; leaves a finished checkpoint behind."""
    trainer = dataset.trainer(nnUNetTrainerLWIInit, plan.fold, **plan.lwi)
    trainer.on_train_start()
    assert trainer.transformation.slabs == plan.slabs
    assert [level.depth for level in trainer.pretext_network.levels] == plan.depths
    assert [level.index for level in trainer.pretext_network.order_heads.levels] == plan.levels_with_head
    used = record_batches(trainer)
    losses = [trainer.train_step(next(trainer.dataloader_train)) for _ in range(2)]
    losses += [trainer.validation_step(next(trainer.dataloader_val))]
    for step in losses:
        assert list(step) == trainer.loss.names and all(torch.isfinite(value) for value in step.values()), step
    assert_finite(trainer.unwrapped_network.state_dict().values())
    assert len(used) == 3
    for volume, batch in used:
        check_batch(plan, volume, batch)
    trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    return trainer


def record_batches(trainer: nnUNetTrainerLWIInit) -> list[tuple[Tensor, TransformedBatch]]:
    """What the loader gave and what the network saw, of every step from now on."""
    used: list[tuple[Tensor, TransformedBatch]] = []
    transform = trainer.transform

    def record(batch: dict[str, Any], *whole_task: Transformation) -> TransformedBatch:
        volume = batch["data"].clone()
        transformed = transform(batch, *whole_task)
        used.append((volume, transformed))
        return transformed

    trainer.transform = record
    return used


def check_batch(plan: Plan, volume: Tensor, batch: TransformedBatch) -> None:
    """X' is X with its slabs in another order, nothing else; X'' is X' with whole cells at 0, as many as asked."""
    options = Options(**plan.options)
    assert volume.shape == (options.batch_size, options.channels, *plan.patch_size)
    thickness = plan.patch_size[0] // plan.slabs
    for sample, shuffled, order in zip(volume, batch.shuffled, batch.order.tolist(), strict=True):
        assert sorted(order) == list(range(plan.slabs))
        slabs = [sample[:, slab * thickness : (slab + 1) * thickness] for slab in order]
        assert torch.equal(torch.cat(slabs, dim=1), shuffled)
    assert torch.equal(unshuffle_slabs(batch.shuffled, batch.order), volume)
    if not plan.settings.reconstructs:
        assert torch.equal(batch.masked, batch.shuffled)
        return
    for shuffled, masked in zip(batch.shuffled, batch.masked, strict=True):
        check_mask(plan, shuffled, masked)


def check_mask(plan: Plan, shuffled: Tensor, masked: Tensor) -> None:
    """Of one sample, (C, D, H, W): cells are 0 in every channel, or untouched, and round(ratio x cells) are 0.

    A cell that was 0 before (padding) tells nothing, so that the count has a lower and an upper bound.
    """
    masking = plan.settings.masking
    depth, height, width = plan.patch_size
    caps = (depth // plan.slabs, height, width)
    cell_size = [min(edge, cap) for edge, cap in zip(masking.patch_size, caps, strict=True)]
    cells = [ceil(edge / size) for edge, size in zip(plan.patch_size, cell_size, strict=True)]
    z, y, x = (torch.arange(edge) // size for edge, size in zip(plan.patch_size, cell_size, strict=True))
    columns = y[:, None] * cells[2] + x
    is_tube = masking.strategy == "tube"
    units = prod(cells[1:]) if is_tube else prod(cells)
    unit = columns.expand(depth, -1, -1) if is_tube else z[:, None, None] * prod(cells[1:]) + columns

    def units_with(voxels: Tensor) -> Tensor:
        """Whether any voxel of a unit, in any channel, is True."""
        return torch.bincount(unit.flatten(), voxels.any(0).flatten().double(), minlength=units) > 0

    changed, kept, had_values = (units_with(voxels) for voxels in (masked != shuffled, masked != 0, shuffled != 0))
    assert not (changed & kept).any()
    certain = (had_values & ~kept).sum().item()
    assert certain <= round(masking.ratio * units) <= certain + (~had_values).sum().item()


def check_step2(plan: Plan, dataset: TinyDataset) -> nnUNetTrainerLWISeg:
    """A training and a validation step from step 1's weights."""
    trainer = dataset.trainer(nnUNetTrainerLWISeg, plan.fold, **plan.lwi)
    trainer.on_train_start()
    assert trainer.start["kind"] == "step1"
    calls = record_loss(trainer)
    loss = trainer.train_step(next(trainer.dataloader_train))["loss"]
    with torch.no_grad():
        validation = trainer.validation_step(next(trainer.dataloader_val))
    assert torch.isfinite(loss) and torch.isfinite(torch.as_tensor(validation["loss"]))
    assert_finite(trainer.unwrapped_network.state_dict().values())
    assert len(calls) == 2
    for outputs, targets in calls:
        assert len(outputs) == len(targets) == len(plan.depths) - 1
        for output, target in zip(outputs, targets, strict=True):
            assert output.shape[2:] == target.shape[2:] and output.shape[1] == trainer.label_manager.num_segmentation_heads
        assert outputs[0].shape[2:] == plan.patch_size
    return trainer


def record_loss(trainer: nnUNetTrainerLWISeg) -> list[tuple[Sequence[Tensor], Sequence[Tensor]]]:
    """Outputs and targets of every step from now on."""
    calls: list[tuple[Sequence[Tensor], Sequence[Tensor]]] = []
    trainer.loss.register_forward_pre_hook(lambda _, arguments: calls.append(arguments))
    return calls


def assert_finite(tensors: Any) -> None:
    assert all(torch.isfinite(tensor).all() for tensor in tensors)
