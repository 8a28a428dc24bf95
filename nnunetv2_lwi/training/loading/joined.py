"""The fold's own images and scans without labels as one data set of nnU-Net's loader."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_lwi.errors import shortened
from nnunetv2_lwi.training.loading.checked_voxels import PREFIX, CheckedDataset
from nnunetv2_lwi.unlabelled.folder import UnlabelledFolder

LARGEST_DENOMINATOR = 20
"""Of the fraction that stands for a share: it is met to a quarter of a per cent."""


class UnlabelledDataset:
    """Preprocessed scans, as nnU-Net's loader uses a data set.

    Args:
        folder: where they lie.
        scans: their names there.
    """

    def __init__(self, folder: UnlabelledFolder, scans: Sequence[str]) -> None:
        reader = folder.reader()
        assert reader is not None, folder
        self._dataset = reader(str(folder.path), list(scans))
        self.identifiers = [f"{PREFIX}{name}" for name in self._dataset.identifiers]

    def load_case(self, identifier: str) -> tuple[Any, ...]:
        """Image, segmentation (background, and -1 where the image is zero), None, properties."""
        case: tuple[Any, ...] = self._dataset.load_case(identifier.removeprefix(PREFIX))
        return case


class JoinedDataset:
    """Two data sets in one.

    Attributes:
        identifiers: nnU-Net's loader draws from these uniformly, so that an image may stand there more than once.
    """

    def __init__(self, labelled: CheckedDataset, unlabelled: CheckedDataset, labelled_share: float | None) -> None:
        self._labelled, self._unlabelled = labelled, unlabelled
        mine, theirs = repetitions(len(labelled.identifiers), len(unlabelled.identifiers), labelled_share)
        self.identifiers: NDArray[Any] = np.array(
            labelled.identifiers * mine + unlabelled.identifiers * theirs, dtype=object
        )

    def load_case(self, identifier: str) -> tuple[Any, ...]:
        """As the data set that has it."""
        part = self._unlabelled if identifier.startswith(PREFIX) else self._labelled
        return part.load_case(identifier)


def repetitions(labelled: int, unlabelled: int, share: float | None) -> tuple[int, int]:
    """How often each image of either kind is to stand in a list, for the labelled ones to be this share of it.

    Args:
        labelled: how many images; likewise ``unlabelled``.
        share: None: every image once.
    """
    if share is None:
        return 1, 1
    ratio = share * unlabelled / ((1 - share) * labelled)
    if ratio < 1:
        times = Fraction(1 / ratio).limit_denominator(LARGEST_DENOMINATOR)
        return times.denominator, times.numerator
    times = Fraction(ratio).limit_denominator(LARGEST_DENOMINATOR)
    return times.numerator, times.denominator


def describe_images(labelled: int, unlabelled: dict[str, Any], folder: Path, share: float | None) -> list[str]:
    """What step 1 draws from, in lines for its log.

    Args:
        unlabelled: of the run's record.
    """
    scans, left_out, marked = (unlabelled[key] for key in ("scans", "left_out", "test_images"))
    if not scans and not left_out:
        return warn_of_test_images(marked)
    how = "each as often as any other" if share is None else f"the former {share:.0%} of what is drawn"
    lines = [f"Images: {labelled} of the fold and {len(scans)} scans without labels ({folder}), {how}."]
    if left_out:
        pairs = [f"{name} is {case}" for name, case in sorted(left_out.items())]
        lines.append(f"Scans without labels left out as images of this fold's cases: {len(left_out)} ({shortened(pairs)}).")
    return lines + warn_of_test_images(marked)


def warn_of_test_images(marked: list[str]) -> list[str]:
    """A line where there are some among what is drawn from."""
    if not marked:
        return []
    return [
        "WARNING: scans without labels that are images of the test or of this fold's validation, as --allow-test-images "
        f"allows: {len(marked)} ({shortened(sorted(marked))}). Results on those are not those of unseen images."
    ]
