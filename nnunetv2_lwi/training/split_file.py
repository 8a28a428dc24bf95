"""``splits_final.json``: nnU-Net's split into folds, which users write by hand too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
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
            f'{path} must be a list of splits {{"train": [CASE, ...], "val": [CASE, ...]}}: correct it, or '
            "remove it and nnU-Net makes a new one."
        )
    return list(splits)


def require_cases(train: Sequence[str], val: Sequence[str], available: Iterable[str], folder: str) -> None:
    """Raises:
    UserError: a fold is without cases, or names some that are not preprocessed.
    """
    for part, cases in (("training", train), ("validation", val)):
        if len(cases) == 0:
            raise UserError(f"This fold has no {part} cases: give it some in {SPLIT_FILE}, or train another fold.")
    missing = sorted({*train, *val} - set(available))
    if missing:
        raise UserError(
            f"{SPLIT_FILE} names {len(missing)} cases that are not in {folder}: {shortened(missing)}. Preprocess them, or "
            "take them out."
        )


def _is_split(value: Any) -> bool:
    return isinstance(value, Mapping) and all(is_list_of(value.get(part), _is_case) for part in ("train", "val"))


def _is_case(value: Any) -> bool:
    return isinstance(value, str)
