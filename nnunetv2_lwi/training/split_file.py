"""``splits_final.json``: nnU-Net's split into folds, which users write by hand too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover import shortened
from nnunetv2_lwi.settings import is_list_of

SPLIT_FILE = "splits_final.json"

Split = Mapping[str, list[str]]


def read_splits(dataset_folder: Path) -> list[Split]:
    """The splits of a preprocessed data set; none where nnU-Net has yet to write them.

    Raises:
        UserError: the file is no list of splits.
    """
    path = dataset_folder / SPLIT_FILE
    if not path.is_file():
        return []
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}): correct it, or remove it and nnU-Net makes a new one.") from error
    if not is_list_of(splits, _is_split):
        raise UserError(
            f'{path} must be a list of splits {{"train": [CASE, ...], "val": [CASE, ...]}} with cases in both: correct it, '
            "or remove it and nnU-Net makes a new one."
        )
    return list(splits)


def require_cases(named: Iterable[str], available: Iterable[str], folder: str) -> None:
    """Raises:
    UserError: the split names cases that are not preprocessed.
    """
    missing = sorted(set(named) - set(available))
    if missing:
        raise UserError(
            f"{SPLIT_FILE} names {len(missing)} cases that are not in {folder}: {shortened(missing)}. Preprocess them, or "
            "take them out."
        )


def _is_split(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_are_cases(value.get(part)) for part in ("train", "val"))


def _are_cases(value: Any) -> bool:
    return is_list_of(value, lambda case: isinstance(case, str)) and len(value) > 0
