"""What nnU-Net's augmentation needs, and what it leaves to chance that it should not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from torch import Tensor


class OwnDraws(BasicTransform):  # type: ignore[misc]
    """Give each of the loader's workers draws of its own; changes no image.

    nnU-Net seeds numpy anew in every worker, but not torch, whose generator each inherits in the same state: without this,
    mirroring, noise and what is applied at all would be the same in all of them, batch by batch. It comes first. Where
    there are no workers, as in a repeatable training, it does nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.process = os.getpid()

    def __call__(self, **data: Any) -> dict[str, Any]:
        """Seed torch from numpy, once in each process but the one that this was made in."""
        if self.process != os.getpid():
            torch.manual_seed(int(np.random.randint(2**31)))
            self.process = os.getpid()
        return data


def without_benchmarks(make_transforms: Callable[..., ComposeTransforms]) -> Callable[..., ComposeTransforms]:
    """The same, but the blur does not choose between two ways by the clock: they differ in the last bits."""

    def make(*args: Any, **kwargs: Any) -> ComposeTransforms:
        return decided(make_transforms(*args, **kwargs))

    return make


class NoiseAside(GaussianNoiseTransform):  # type: ignore[misc]
    """Noise that leaves the host's generator where it was, as noise that a GPU draws does."""

    def _apply_to_image(self, img: Tensor, **params: Any) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            noisy: Tensor = super()._apply_to_image(img, **params)
        return noisy


def drawn_as_beside(device: torch.device, transforms: ComposeTransforms) -> ComposeTransforms:
    """A copy whose draws, for the same seed, are those of the transforms' forms on a device, the noise itself aside.

    Noise for a whole volume would move the host's generator here and not there, and all that is drawn after it differ.
    """
    transforms = decided(transforms)
    if device.type != "cpu":
        for inner in _inner(transforms):
            if type(inner) is GaussianNoiseTransform:
                inner.__class__ = NoiseAside
    return transforms


def decided(transforms: ComposeTransforms) -> ComposeTransforms:
    """A copy whose blur takes the first of its two ways, and does not time both again and again until it knows."""
    transforms = deepcopy(transforms)
    for inner in _inner(transforms):
        if isinstance(inner, GaussianBlurTransform):
            inner.benchmark = False
    return transforms


def _inner(transforms: ComposeTransforms) -> Iterator[BasicTransform]:
    """Each transform, without what applies it at random."""
    for transform in transforms.transforms:
        yield transform.transform if isinstance(transform, RandomTransform) else transform
