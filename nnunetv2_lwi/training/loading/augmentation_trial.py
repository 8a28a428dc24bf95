"""Where the augmentation belongs on the machine at hand: a few batches are made both ways, looked at and timed.

nnU-Net augments in its loader's workers, and what they make is what step 2 is known by. A device takes their place only
where, for the same samples and the same draws, it makes the same of them, and where more iterations a second come of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from torch import Tensor

from nnunetv2_lwi.training.loading.augmentation import drawn_as_beside
from nnunetv2_lwi.training.loading.device_loader import augment, tensors_of
from nnunetv2_lwi.training.loading.device_transforms import Split
from nnunetv2_lwi.training.machine.randomness import seed_all

Value = TypeVar("Value")

ROUNDS = 4
"""Batches made both ways, after one that is not timed."""
STEPS = 3
"""Of the network, after one that is not timed."""
FASTER = 1.05
"""Iterations a second, over those with workers alone, from which on the device augments."""
SAME_VOXELS = 0.99
"""Of a segmentation: where two labels tie, rounding decides."""
SAME_MEAN = 0.05
"""Standard deviations of a sample that its mean may differ by, its own deviation likewise: noise is drawn elsewhere."""


@dataclass(frozen=True)
class Trial:
    """Seconds a batch.

    Attributes:
        workers: processes that augment side by side; 0 where this process does.
    """

    in_worker: float
    """Read, crop and augment."""
    cut: float
    """Read, crop and cut, where the device augments."""
    on_device: float
    step: float
    """Forward and backward pass."""
    workers: int

    @property
    def with_workers(self) -> float:
        """Iterations a second."""
        if self.workers == 0:
            return 1 / (self.in_worker + self.step)
        return 1 / max(self.in_worker / self.workers, self.step)

    @property
    def with_device(self) -> float:
        """Iterations a second, nothing of the augmentation being hidden by the step."""
        busy = self.on_device + self.step
        return 1 / (self.cut + busy) if self.workers == 0 else 1 / max(self.cut / self.workers, busy)

    @property
    def is_faster(self) -> bool:
        """Whether the device is worth it."""
        return self.with_device > FASTER * self.with_workers

    def __str__(self) -> str:
        return f"{self.with_device:.2f} iterations/s with it, {self.with_workers:.2f} with {self.workers} workers alone"


class Disagreement(Exception):
    """The device makes something else of a sample than a worker; says what."""


@dataclass(frozen=True)
class MadeBothWays:
    """Batches that a worker and the device made alike.

    Attributes:
        batch: of the device's, to make steps with.
    """

    shared: Split
    device: torch.device
    batch: dict[str, Any]
    in_worker: float
    """Seconds a batch, as in :class:`Trial`."""
    cut: float
    on_device: float

    def timed(self, step: Callable[[dict[str, Any]], object], workers: int) -> Trial:
        """Make a few steps beside.

        Args:
            step: forward and backward pass on a batch of the device's.
            workers: that can run side by side.
        """
        steps = [_seconds(lambda: step(self.batch), self.device)[0] for _ in range(1 + STEPS)]
        return Trial(self.in_worker, self.cut, self.on_device, fmean(steps[1:]), workers)


def make_both_ways(loader: Any, shared: Split, device: torch.device) -> MadeBothWays:
    """Make a few batches both ways.

    Args:
        loader: nnU-Net's, with all transforms; it is left as it is.

    Raises:
        Disagreement: the device makes something else of a sample.
    """
    whole, loader.transforms = loader.transforms, None
    try:
        batches = [_both_ways(loader, drawn_as_beside(device, whole), shared, device) for _ in range(1 + ROUNDS)]
        samples = [_on(sample, shared.in_worker) for sample in _samples(next(loader))]
    finally:
        loader.transforms = whole
    batch = augment(samples, shared.on_device, device)
    read, in_worker, cut, on_device = (fmean(seconds) for seconds in zip(*batches[1:], strict=True))
    return MadeBothWays(shared, device, batch, read + in_worker, read + cut, on_device)


def _both_ways(
    loader: Any, whole: ComposeTransforms, shared: Split, device: torch.device
) -> tuple[float, float, float, float]:
    """Seconds to read a batch, to augment it here, to cut it, and to augment it on the device; both from the same draws."""
    read, patches = _seconds(lambda: next(loader), device)
    times = []
    for sample in _samples(patches):
        seed = int(np.random.randint(2**31))
        seed_all(seed)
        in_worker, theirs = _seconds(partial(_on, sample, whole), device)
        seed_all(seed)
        cutting, cut = _seconds(partial(_on, sample, shared.in_worker), device)
        on_device, ours = _seconds(partial(augment, [cut], shared.on_device, device), device)
        require_same(tensors_of(ours), _as_batch(theirs))
        times.append((in_worker, cutting, on_device))
    augmenting, cutting, on_device = (sum(seconds) for seconds in zip(*times, strict=True))
    return read, augmenting, cutting, on_device


def require_same(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Of one sample: an image (1, C, D, H, W) and its targets.

    Raises:
        Disagreement: shapes, types, labels, or the statistics of the image differ.
    """
    for one, other in zip(ours, theirs, strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            raise Disagreement(f"{one.dtype} of {list(one.shape)} in the place of {other.dtype} of {list(other.shape)}")
    image, expected = ours[0].float().cpu(), theirs[0].float()
    if not bool(image.isfinite().all()):
        raise Disagreement("voxels that are not finite")
    allowed = SAME_MEAN * max(float(expected.std()), 1e-6)
    for name, value, other in (("mean", image.mean(), expected.mean()), ("deviation", image.std(), expected.std())):
        if abs(float(value) - float(other)) > allowed:
            raise Disagreement(f"a {name} of {float(value):.3g} in the place of {float(other):.3g}")
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        share = float((one.cpu() == other).float().mean())
        if share < SAME_VOXELS:
            raise Disagreement(f"other labels in {1 - share:.1%} of the voxels")


def _samples(patches: dict[str, Any]) -> list[dict[str, Tensor]]:
    pairs = zip(patches["data"], patches["target"], strict=True)
    return [{"image": image, "segmentation": labels} for image, labels in pairs]


def _on(sample: dict[str, Tensor], transforms: ComposeTransforms) -> dict[str, Any]:
    """Applied to a copy: some transforms work in place."""
    done: dict[str, Any] = transforms(**{key: tensor.clone() for key, tensor in sample.items()})
    return done


def _as_batch(sample: dict[str, Any]) -> list[Tensor]:
    labels = sample["segmentation"]
    return [tensor[None] for tensor in (sample["image"], *(labels if isinstance(labels, list) else [labels]))]


def _seconds(function: Callable[[], Value], device: torch.device) -> tuple[float, Value]:
    """How long a call takes, the device's work included, and what it returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = perf_counter()
    value = function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - start, value
