"""What is used of other packages' private parts, where no public form does; what breaks if one goes is in
docs/developers/contributing.md.

(Methods of nnU-Net's trainer and of batchgeneratorsv2's transforms that are overridden are in the trainers and in
``training/loading/device_transforms.py``; ``tests/test_nnunet_internals.py`` holds a test for each.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from nnunetv2.run import load_pretrained_weights as nnunet_weights
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet_trainer
from numpy._core import multiarray
from torch import Tensor, nn
from torch._dynamo import OptimizedModule

NUMPY_SCALARS: list[Any] = [
    multiarray.scalar,
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(code)) for code in "?bBhHiIlLqQefd"),
]
"""What numpy's scalars are pickled by, by numpy 2 and by numpy 1; torch is told that these are safe."""


def without_compilation(network: nn.Module) -> nn.Module:
    """The network within ``torch.compile``'s wrapper; itself where there is none."""
    inner: nn.Module = network._orig_mod if isinstance(network, OptimizedModule) else network
    return inner


def times_changed(parameter: Tensor) -> int:
    """How often a tensor was changed in place."""
    return parameter._version


@contextmanager
def distributed_on(device: torch.device) -> Iterator[None]:
    """While it lasts nnU-Net's trainer wraps networks for this device.

    It names GPUs by the rank, which on the second machine is none of its GPUs, and knows no other device.
    """
    wrap, indices = nnunet_trainer.DDP, None if device.type == "cpu" else [device.index]
    nnunet_trainer.DDP = lambda network, device_ids: wrap(network, device_ids=indices)
    try:
        yield
    finally:
        nnunet_trainer.DDP = wrap


@contextmanager
def weights_read_to_cpu() -> Iterator[None]:
    """While it lasts nnU-Net reads what ``-pretrained_weights`` names into the memory of the CPU.

    In a group of processes it names a GPU by the rank, which on the second machine is none, as on one without GPUs.
    """
    original = nnunet_weights.torch
    nnunet_weights.torch = SimpleNamespace(load=torch.load, device=lambda *_: torch.device("cpu"))
    try:
        yield
    finally:
        nnunet_weights.torch = original


def collector(loader: NonDetMultiThreadedAugmenter) -> Thread | None:
    """The thread that fetches batches from a loader's workers; none before the first batch."""
    thread: Thread | None = loader.results_loop_thread
    return thread


def is_full(loader: NonDetMultiThreadedAugmenter) -> bool:
    """Whether all that its workers and its thread may hold ready is there, so that they wait."""
    return bool(loader.initialized and loader.results_loop_queue.full() and loader._queue.full())


def end(loader: NonDetMultiThreadedAugmenter) -> None:
    """End a loader's workers and its thread."""
    loader._finish()
