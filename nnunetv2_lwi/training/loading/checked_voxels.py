"""Voxels that no training can use, found by the loader's worker in the patch that it cut, told in the main process by case.

A worker that raises would print a traceback of its own and leave the main process with "workers are no longer alive"; an
undeclared label stops the loss with an index error, or the GPU. So a worker raises nothing: it notes the case in memory
that it shares with the main process, and hands over zeros. The trainer looks there before it uses a batch, which costs
nothing to speak of and waits for no device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from multiprocessing.sharedctypes import RawValue
from typing import Any

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
from numpy.typing import NDArray

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.loading.label_free import NoSegmentation

PREFIX = "unlabelled/"
"""Of the identifier of a scan without labels: it may go by the name of a case."""
NONE_FOUND = -1
LOWEST_LABEL = -1
"""What nnU-Net's preprocessing writes where an image is zero; its augmentation makes background of it."""


def is_finite(voxels: NDArray[Any]) -> bool:
    """Whether there is neither NaN nor infinity: one sum, and a closer look only where that is not finite."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(voxels.sum())) or bool(np.isfinite(voxels).all())


def not_finite(case: str) -> UserError:
    """What the user is told of a case, or of a scan without labels."""
    if case.startswith(PREFIX):
        return UserError(
            f"The preprocessed scan {case.removeprefix(PREFIX)} has NaN or infinite voxels: remove its files and run "
            "nnUNetv2_lwi unlabelled again."
        )
    return UserError(
        f"The preprocessed image of case {case} has NaN or infinite voxels: repair the image and preprocess again "
        "(nnUNetv2_preprocess), or take the case out of splits_final.json."
    )


def not_declared(case: str, value: int) -> UserError:
    """What the user is told of a case."""
    return UserError(
        f"The labels of case {case} have the value {value}, which dataset.json does not declare: declare it, or correct the "
        "labels, and preprocess again (nnUNetv2_preprocess), or take the case out of splits_final.json."
    )


class VoxelChecks:
    """Which of the cases, if any, was found unusable, and why: two numbers, shared with every worker.

    Args:
        highest_label: that dataset.json declares; None where labels are not used.
    """

    def __init__(self, cases: Iterable[str], highest_label: int | None = None) -> None:
        self.cases = sorted(cases)
        self.highest_label = highest_label
        self._not_finite = RawValue("q", NONE_FOUND)
        self._not_declared = RawValue("q", NONE_FOUND)
        self._value = RawValue("q", 0)

    def image(self, case: str, voxels: NDArray[Any]) -> bool:
        """Whether a part of a case's image can be used; called where it was read, in whatever process."""
        fine = is_finite(voxels)
        if not fine:
            self._not_finite.value = self.cases.index(case)
        return fine

    def labels(self, case: str, voxels: NDArray[Any]) -> bool:
        """The same of its segmentation."""
        extremes = (int(voxels.min()), int(voxels.max())) if voxels.size and self.highest_label is not None else ()
        wrong = [value for value in extremes if not LOWEST_LABEL <= value <= (self.highest_label or 0)]
        if wrong:
            self._value.value, self._not_declared.value = wrong[0], self.cases.index(case)
        return not wrong

    def require(self) -> None:
        """Raises:
        UserError: a case was found unusable.
        """
        if self._not_finite.value != NONE_FOUND:
            raise not_finite(self.cases[self._not_finite.value])
        if self._not_declared.value != NONE_FOUND:
            raise not_declared(self.cases[self._not_declared.value], self._value.value)


class CheckedVolume:
    """An image or segmentation (C, D, H, W), looked at as it is read: nnU-Net's loader takes its shape, then one slice.

    Args:
        check: whether what was read can be used.
    """

    def __init__(self, volume: Any, check: Callable[[NDArray[Any]], bool]) -> None:
        self._volume = volume
        self._check = check
        self.shape = volume.shape
        self.dtype = volume.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        voxels: NDArray[Any] = self._volume[key]
        return voxels if self._check(voxels) else np.zeros_like(voxels)


class CheckedDataset:
    """A data set as nnU-Net's loader uses it, whose images and segmentations are looked at as they are read."""

    def __init__(self, dataset: nnUNetBaseDataset, checks: VoxelChecks, reads_segmentations: bool = True) -> None:
        self._dataset = dataset
        self._checks = checks
        self._reads_segmentations = reads_segmentations
        self.identifiers: list[str] = dataset.identifiers

    def load_case(self, identifier: str) -> tuple[Any, ...]:
        """Image, segmentation, segmentation of the previous stage, properties.

        A scan that was preprocessed without labels has no locations of classes, which nnU-Net's loader asks for.
        """
        image, segmentation, previous, properties = self._dataset.load_case(identifier)
        checked = CheckedVolume(image, lambda voxels: self._checks.image(identifier, voxels))
        if not self._reads_segmentations:
            segmentation = NoSegmentation(image.shape)
        elif self._checks.highest_label is not None:
            segmentation = CheckedVolume(segmentation, lambda voxels: self._checks.labels(identifier, voxels))
        return checked, segmentation, previous, {"class_locations": {}, **properties}
