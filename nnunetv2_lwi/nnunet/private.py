"""What is used of other packages' private parts, where no public form does; CONTRIBUTING.md says what breaks if one goes.

(Methods of nnU-Net's trainer and of batchgeneratorsv2's transforms that are overridden are in the trainers and in
``training/loading/device_transforms.py``; ``tests/test_nnunet_internals.py`` holds a test for each.)
"""

from __future__ import annotations

from threading import Thread
from typing import Any

import numpy as np
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
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


def collector(loader: NonDetMultiThreadedAugmenter) -> Thread | None:
    """The thread that fetches batches from a loader's workers; none before the first batch."""
    thread: Thread | None = loader.results_loop_thread
    return thread


def end(loader: NonDetMultiThreadedAugmenter) -> None:
    """End a loader's workers and its thread."""
    loader._finish()
