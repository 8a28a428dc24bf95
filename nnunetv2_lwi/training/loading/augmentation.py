"""What nnU-Net's augmentation needs, and what it leaves to chance that it should not."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform


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


def decided(transforms: ComposeTransforms) -> ComposeTransforms:
    """A copy whose blur takes the first of its two ways, and does not time both again and again until it knows."""
    transforms = deepcopy(transforms)
    for transform in transforms.transforms:
        inner = transform.transform if isinstance(transform, RandomTransform) else transform
        if isinstance(inner, GaussianBlurTransform):
            inner.benchmark = False
    return transforms
