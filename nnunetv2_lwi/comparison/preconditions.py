"""What would otherwise stop a comparison, or spoil it, hours after it was called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import SimpleITK as sitk

from nnunetv2_lwi.comparison.arms import Arm
from nnunetv2_lwi.comparison.design import Training
from nnunetv2_lwi.comparison.source import LabelledImages, Source
from nnunetv2_lwi.comparison.sweep import LENGTH_OF_STEP1, SHARE_OF_SCANS, Variant
from nnunetv2_lwi.errors import UserError, shortened


def require_scans(arms: Sequence[Arm], variants: Sequence[Variant], rest_unlabelled: bool, scans: int) -> None:
    """Raises:
    UserError: an arm is to see scans without labels and there are none, or no arm is to see any.
    """
    of_scans = [arm.name for arm in arms if arm.sees_scans]
    if rest_unlabelled and not of_scans:
        raise UserError("--rest-unlabelled changes none of the arms: name one with _unlabelled, as lwi_unlabelled.")
    if of_scans and not (scans or rest_unlabelled):
        raise UserError(
            f"--arms {of_scans[0]}: there are no scans without labels. Preprocess some (nnUNetv2_lwi unlabelled), or append "
            "--rest-unlabelled to take the training cases beyond --cases for such."
        )
    if of_scans and not scans and SHARE_OF_SCANS in variants[0]:
        raise UserError(
            f"--sweep {SHARE_OF_SCANS}: it is of the scans of nnUNetv2_lwi unlabelled, and there are none; what "
            "--rest-unlabelled adds is always all of the fold."
        )


def require_effect(variants: Sequence[Variant], arms: Sequence[Arm], share: float | None) -> None:
    """Raises:
    UserError: no arm depends on a swept setting, or ``--share`` and a sweep both say how long step 1 is.
    """
    for key in variants[0]:
        if not any(arm.takes({key: None}) for arm in arms):
            raise UserError(f"--sweep {key}: it changes none of the arms {', '.join(arm.name for arm in arms)}.")
    if LENGTH_OF_STEP1 in variants[0] and share is not None:
        raise UserError(f"--share and --sweep {LENGTH_OF_STEP1} both say how long step 1 is: leave one of them out.")


def require_labels_of_validation(source: Source, cases: Sequence[str]) -> None:
    """Raises:
    UserError: nnU-Net's copies of the labels, which it validates by, are not there.
    """
    folder = source.preprocessed / "gt_segmentations"
    if not folder.is_dir():
        raise UserError(f"There is no {folder}: run nnUNetv2_preprocess again.")
    missing = [path for case in cases if not (path := folder / f"{case}{source.file_ending}").is_file()]
    if missing:
        raise UserError(f"There is no {missing[0]}, a validation case's label: run nnUNetv2_preprocess again.")


def require_fitting_tests(test: LabelledImages | None) -> None:
    """By their headers, where SimpleITK reads them.

    Raises:
        UserError: a label has not the size of its images, so that no prediction could be scored.
    """
    for case, label in (test.labels if test else {}).items():
        sizes = {path: size for path in (label, *test.images[case]) if (size := _size(path)) is not None}  # type: ignore[union-attr]
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{Path(path).parent.name}/{Path(path).name} {size}" for path, size in sizes.items())
            raise UserError(f"Test case {case}: label and images differ in size: {told}. Correct or remove the case.")


def _size(path: str) -> tuple[int, ...] | None:
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    with suppress(RuntimeError):
        reader.ReadImageInformation()
        return tuple(sorted(reader.GetSize()))  # some readers of nnU-Net's bring axes into one order
    return None


def require_same_data(source: Source, configuration_name: str, training: Training, finished: bool = False) -> None:
    """Before a training, and when it has finished.

    Args:
        finished: scans without labels that came meanwhile do not count then: it drew from those that it began with.

    Raises:
        UserError: what it reads has changed since the comparison was called; it would be filed under what it was.
    """
    scans: Mapping[str, int] = {}
    try:
        data = source.fingerprint(configuration_name, training.configuration)
        now = data.of([*training.train_cases, *training.val_cases], with_labels=not training.is_step1)
        if training.scans:
            there = source.scans(training.configuration)
            scans = {name: there.get(name, 0) for name in training.scans} if finished else there
    except (OSError, AssertionError, KeyError) as error:  # of nnU-Net's, where cases or all of them are gone
        raise _changed(source, str(error)) from error
    if now == training.data and scans == training.scans:
        return
    changed = {
        case
        for kind in ("images", "labels")
        for case, of_case in training.data.get(kind, {}).items()
        if now.get(kind, {}).get(case) != of_case
    }
    raise _changed(source, shortened(sorted(changed)) if changed else "scans without labels")


def _changed(source: Source, what: str) -> UserError:
    return UserError(
        f"The preprocessed data of {source.name} have changed since the comparison was called ({what}). Call the same "
        "command again: it trains on them as they are now, and keeps what does not depend on them."
    )
