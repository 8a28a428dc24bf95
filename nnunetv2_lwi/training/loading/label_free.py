"""Keeping labels out of step 1: no label reaches a patch's position, a transform or the network.

Where no channel is normalised within a mask, nothing needs the segmentation, and none is read or transformed, which
would take a third of a sample's time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, SegOnlyTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from numpy.typing import NDArray
from torch import Tensor


class ForgetLabels(SegOnlyTransform):  # type: ignore[misc]
    """Set every label to background; -1, "outside the nonzero mask", stays.

    It comes first: nnU-Net's interpolation of a segmentation would otherwise let labels move the border of that mask,
    which masks the image where the plan has ``use_mask_for_norm``.
    """

    def _apply_to_segmentation(self, segmentation: Tensor, **params: object) -> Tensor:
        return torch.where(segmentation < 0, segmentation, torch.zeros_like(segmentation))


class DropSegmentation(BasicTransform):  # type: ignore[misc]
    """Let the transforms that follow see the image alone; they draw the same."""

    def __call__(self, **data: Any) -> dict[str, Any]:
        """What was given but the segmentation."""
        return {key: value for key, value in data.items() if key != "segmentation"}


class EmptySegmentation(BasicTransform):  # type: ignore[misc]
    """One voxel of background at the end, for nnU-Net's loader stacks segmentations."""

    def __call__(self, **data: Any) -> dict[str, Any]:
        """What was given, and a segmentation (1, 1, 1, 1) where the image is."""
        return data | {"segmentation": torch.zeros(1, 1, 1, 1, dtype=torch.int16, device=data["image"].device)}


class NoSegmentation:
    """In the place of a case's segmentation (1, D, H, W): background, which takes no memory and is read from nowhere."""

    dtype = np.dtype(np.int8)

    def __init__(self, image_shape: Sequence[int]) -> None:
        self.shape = (1, *image_shape[1:])

    def __getitem__(self, key: Any) -> NDArray[np.int8]:
        background: NDArray[np.int8] = np.broadcast_to(np.int8(0), self.shape)[key]
        return background


def of_images_alone(make_transforms: Callable[..., ComposeTransforms]) -> Callable[..., ComposeTransforms]:
    """The same transforms, which are given no segmentation."""

    def make(*args: Any, **kwargs: Any) -> ComposeTransforms:
        return ComposeTransforms([DropSegmentation(), *make_transforms(*args, **kwargs).transforms, EmptySegmentation()])

    return make


def without_labels(transforms: ComposeTransforms) -> ComposeTransforms:
    """The same transforms on a segmentation that knows no labels."""
    return ComposeTransforms([ForgetLabels(), *transforms.transforms])


def no_labels() -> LabelManager:
    """A label manager that knows the background only.

    With it nnU-Net's loader draws patches uniformly also where the data set has an ignore label (it would look for
    annotated voxels), and its transforms make no regions.
    """
    return LabelManager({"background": 0}, None)
