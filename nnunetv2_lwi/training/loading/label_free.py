"""Keeping labels out of step 1: no label reaches a patch's position, a transform or the network."""

from __future__ import annotations

import torch
from batchgeneratorsv2.transforms.base.basic_transform import SegOnlyTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from torch import Tensor


class ForgetLabels(SegOnlyTransform):  # type: ignore[misc]
    """Set every label to background; -1, "outside the nonzero mask", stays.

    It comes first: nnU-Net's interpolation of a segmentation would otherwise let labels move the border of that mask,
    which masks the image where the plan has ``use_mask_for_norm``.
    """

    def _apply_to_segmentation(self, segmentation: Tensor, **params: object) -> Tensor:
        return torch.where(segmentation < 0, segmentation, torch.zeros_like(segmentation))


def without_labels(transforms: ComposeTransforms) -> ComposeTransforms:
    """The same transforms on a segmentation that knows no labels."""
    return ComposeTransforms([ForgetLabels(), *transforms.transforms])


def no_labels() -> LabelManager:
    """A label manager that knows the background only.

    With it nnU-Net's loader draws patches uniformly also where the data set has an ignore label (it would look for
    annotated voxels), and its transforms make no regions.
    """
    return LabelManager({"background": 0}, None)
