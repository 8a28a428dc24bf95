"""A step 1 that is trained on with more scans without labels: it starts anew from its old weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunetv2_lwi.handover.checkpoint import newest_checkpoint

BEFORE_GROWTH = "before_growth"
"""Stands in the name of the folder that keeps an earlier step 1, beside the fold's."""


def put_aside(fold_folder: Path) -> Path:
    """Give the folder of a step 1 another name, so that its successor has room.

    Returns:
        The folder as it is called now.
    """
    earlier = _earlier(fold_folder)
    number = _number(earlier[-1]) + 1 if earlier else 1
    return fold_folder.rename(fold_folder.with_name(f"{fold_folder.name}_{BEFORE_GROWTH}_{number}"))


def earlier_weights(fold_folder: Path) -> Path | None:
    """The checkpoint of the step 1 that was put aside last, if any was."""
    earlier = _earlier(fold_folder)
    return newest_checkpoint(earlier[-1]) if earlier else None


def _earlier(fold_folder: Path) -> Sequence[Path]:
    found = fold_folder.parent.glob(f"{fold_folder.name}_{BEFORE_GROWTH}_*")
    return sorted((path for path in found if path.name.rpartition("_")[2].isdecimal()), key=_number)


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("_")[2])
