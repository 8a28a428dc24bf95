"""What a loader's worker does where a device augments: it draws rotation and scaling, and cuts what they will read.

nnU-Net's loader reads more than a patch, for rotation's sake: four times as much where the patch is cubic. Most samples are
neither rotated nor scaled, and leave the worker as the patch that they become; the others as the box that the turned patch
lies in. So a batch in shared memory is hardly larger than one of nnU-Net's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from torch import Tensor

POINTS, LABELS = "points", "labels"
"""What a sample brings along for the device: where the patch lies in it, and which labels its segmentation holds."""
REACH = 2
"""Voxels beyond a sampled point that interpolation may read: one where it is linear, two where it is cubic."""


class FewPoints(SpatialTransform):  # type: ignore[misc]
    """Draws as SpatialTransform does, for the patch's centre and one point on each axis: they stand for its grid.

    They can, the map being affine: without elastic deformation.
    """

    def _get_base_grid_clone(self) -> Tensor:
        """(1 + dim, dim), in voxels from the centre."""
        half = torch.tensor(self.patch_size, dtype=torch.float32) / 2
        return torch.cat([torch.zeros(1, len(half)), torch.diag(half)])


class CutForDevice(BasicTransform):  # type: ignore[misc]
    """Draw where a patch lies in a sample, and cut the sample to what is read there.

    Args:
        spatial: whose place this takes in the worker; the rest of it is done on the device.
    """

    def __init__(self, spatial: FewPoints) -> None:
        super().__init__()
        self.spatial = spatial

    def __call__(self, **data: Any) -> dict[str, Any]:
        """The sample, cut, with ``points`` (1 + dim, dim) in grid_sample's coordinates of the cut, and its ``labels``.

        Points are None where nothing is rotated or scaled: the cut is then the patch itself.
        """
        drawn = self.spatial.get_parameters(**data)
        if drawn["grid"] is None:
            patch = self.spatial.apply(data, **drawn)
            return {**patch, **_own_memory(patch), POINTS: None, LABELS: []}
        shape = data["image"].shape[1:]
        box = box_around(drawn["grid"], shape)
        cut = _own_memory(data, (slice(None), *(slice(start, end) for start, end in box)))
        labels = labels_of(cut["segmentation"]) if "segmentation" in cut else []
        return {**data, **cut, POINTS: within(drawn["grid"], shape, box), LABELS: labels}


def box_around(points: Tensor, shape: Sequence[int]) -> list[tuple[int, int]]:
    """First voxel and end, axis by axis, of what is read for a patch: its corners' reach, within the image.

    Args:
        points: the patch's centre and the middles of its faces at the end of each axis, in grid_sample's coordinates.
        shape: of the image.
    """
    centre, *ends = points.flip(-1)
    half = torch.stack([(end - centre).abs() for end in ends]).sum(0)
    box = []
    for middle, reach, size in zip(centre.tolist(), half.tolist(), shape, strict=True):
        low, high = (((middle + side * reach + 1) * size - 1) / 2 for side in (-1, 1))
        start = min(max(0, floor(low) - REACH + 1), size - 1)
        box.append((start, max(start + 1, min(size, ceil(high) + REACH))))
    return box


def within(points: Tensor, shape: Sequence[int], box: Sequence[tuple[int, int]]) -> Tensor:
    """Points in grid_sample's coordinates of an image, in those of a box in it."""
    starts = torch.tensor([start for start, _ in reversed(box)], dtype=torch.float32)
    edges = torch.tensor([end - start for start, end in reversed(box)], dtype=torch.float32)
    sizes = torch.tensor(list(reversed(shape)), dtype=torch.float32)
    return ((points + 1) * sizes - 2 * starts) / edges - 1


def labels_of(segmentation: Tensor) -> list[int]:
    """The values of a segmentation, ascending."""
    values = segmentation.numpy().ravel().astype(np.int64)
    lowest = int(values.min())
    present: list[int] = (np.flatnonzero(np.bincount(values - lowest)) + lowest).tolist()
    return present


class SampleBySample:
    """Applied to a whole batch of nnU-Net's loader, whose samples come out in different sizes, each by itself.

    Args:
        transforms: what each goes through.
    """

    def __init__(self, transforms: ComposeTransforms) -> None:
        self.transforms = transforms

    def __call__(self, data: Tensor, target: Tensor, keys: Sequence[str]) -> dict[str, Any]:
        """``samples``, in the order of ``keys``.

        Args:
            data: (N, C, D, H, W).
            target: (N, 1, D, H, W).
        """
        pairs = zip(data, target, strict=True)
        return {"samples": [self.transforms(image=image, segmentation=labels) for image, labels in pairs], "keys": keys}


def _own_memory(data: dict[str, Any], part: tuple[slice, ...] = ()) -> dict[str, Tensor]:
    """Images and segmentations, or parts of them, without the memory that they were cut from: it would be sent along."""
    there = (key for key in ("image", "segmentation") if key in data)
    return {key: data[key][part].clone(memory_format=torch.contiguous_format) for key in there}
