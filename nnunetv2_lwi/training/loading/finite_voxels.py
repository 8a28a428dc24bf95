"""NaN and infinite voxels: found by the loader's worker in the patch that it cut, told in the main process by case.

A worker that raises would print a traceback of its own and leave the main process with "workers are no longer alive". So it
raises nothing: it notes the case in memory that it shares with the main process, and hands over zeros. The trainer looks
there before it uses a batch, which costs nothing to speak of and waits for no device.
"""

from __future__ import annotations

from collections.abc import Iterable
from multiprocessing.sharedctypes import RawValue
from typing import Any

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
from numpy.typing import NDArray

from nnunetv2_lwi.errors import UserError

NONE_FOUND = -1


def is_finite(voxels: NDArray[Any]) -> bool:
    """Whether there is neither NaN nor infinity: one sum, and a closer look only where that is not finite."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(voxels.sum())) or bool(np.isfinite(voxels).all())


def not_finite(case: str) -> UserError:
    """What the user is told of a case."""
    return UserError(
        f"The preprocessed image of case {case} has NaN or infinite voxels: repair the image and preprocess again "
        "(nnUNetv2_preprocess), or take the case out of splits_final.json."
    )


class FiniteVoxels:
    """Which of the cases, if any, was found to have NaN or infinite voxels: one number, shared with every worker."""

    def __init__(self, cases: Iterable[str]) -> None:
        self.cases = sorted(cases)
        self._found = RawValue("q", NONE_FOUND)

    def note(self, case: str) -> None:
        """Called where the case was read, in whatever process."""
        self._found.value = self.cases.index(case)

    def require(self) -> None:
        """Raises:
        UserError: a case was noted.
        """
        found = self._found.value
        if found != NONE_FOUND:
            raise not_finite(self.cases[found])


class CheckedVolume:
    """An image (C, D, H, W) that is looked at as it is read: nnU-Net's loader takes its shape, then one slice."""

    def __init__(self, volume: Any, case: str, finite_voxels: FiniteVoxels) -> None:
        self._volume = volume
        self._case = case
        self._finite_voxels = finite_voxels
        self.shape = volume.shape
        self.dtype = volume.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        voxels: NDArray[Any] = self._volume[key]
        if is_finite(voxels):
            return voxels
        self._finite_voxels.note(self._case)
        return np.zeros_like(voxels)


class CheckedDataset:
    """A data set as nnU-Net's loader uses it, whose images are looked at as they are read."""

    def __init__(self, dataset: nnUNetBaseDataset, finite_voxels: FiniteVoxels) -> None:
        self._dataset = dataset
        self._finite_voxels = finite_voxels
        self.identifiers: list[str] = dataset.identifiers

    def load_case(self, identifier: str) -> tuple[Any, ...]:
        """Image, segmentation, segmentation of the previous stage, properties."""
        image, *rest = self._dataset.load_case(identifier)
        return CheckedVolume(image, identifier, self._finite_voxels), *rest
