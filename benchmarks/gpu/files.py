"""What is written on a GPU: sizes and devices of checkpoints, and going on on another kind of device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_leaves

from benchmarks.datasets import SMALL
from benchmarks.gpu.runner import Figures, Place
from benchmarks.plans import own_plan
from benchmarks.trainers import CANDIDATES, make_batch, make_trainer

MOST_BEYOND = 1.1
"""Size of a file over that of the distinct tensors that it is to hold."""


def checkpoint(place: Place) -> Iterator[Figures]:
    """After a few steps.

    Raises:
        AssertionError: a tensor is not on the CPU, or the file holds one twice.
    """
    for name, cls in CANDIDATES.items():
        trainer = make_trainer(cls, own_plan(SMALL), place.torch_device)
        _steps(trainer, 2)
        path = _save(trainer, place, name)
        content = torch.load(path, weights_only=True)
        tensors = [leaf for leaf in tree_leaves(content) if isinstance(leaf, torch.Tensor)]
        devices = {tensor.device.type for tensor in tensors}
        assert devices == {"cpu"}, f"{path.name} holds tensors on {devices}"
        parameters = sum(p.numel() * p.element_size() for p in trainer.network.parameters())
        states = 2 if trainer.training_settings.optimizer == "SGD" else 3
        distinct = {StorageWeakRef(tensor.untyped_storage()): tensor.untyped_storage().nbytes() for tensor in tensors}
        size = path.stat().st_size
        assert size < MOST_BEYOND * states * parameters + 2**20, f"{size} bytes for {states} times {parameters}"
        yield {
            "trainer": name,
            "file MB": size / 1e6,
            "weights MB": parameters / 1e6,
            "tensors MB": sum(distinct.values()) / 1e6,
        }


def other_device(place: Place) -> Iterator[Figures]:
    """From the GPU to the CPU and back, with ``--c``'s own way of loading."""
    devices = [place.torch_device, torch.device("cpu"), place.torch_device]
    for name, cls in CANDIDATES.items():
        path: Path | None = None
        losses = []
        for device in devices:
            trainer = make_trainer(cls, own_plan(SMALL), device)
            if path is not None:
                trainer.load_checkpoint(str(path))
                trainer.restore_random_state(trainer._resume_random_state)
            losses.append(_steps(trainer, 2))
            path = _save(trainer, place, name)
        assert all(abs(loss) < float("inf") for loss in losses), losses
        yield {"trainer": name, "devices": "->".join(device.type for device in devices), "losses": losses}


def _steps(trainer: Any, number: int) -> float:
    trainer.network.train()
    batch = make_batch(trainer)
    losses = [float(trainer.train_step(dict(batch))["loss"]) for _ in range(number)]
    return losses[-1]


def _save(trainer: Any, place: Place, name: str) -> Path:
    trainer.start = {"kind": "random"}
    path = place.output / f"{name}.pth"
    trainer.save_checkpoint(str(path))
    return path
