"""``splits_final.json``: nnU-Net's split into folds, which users write by hand too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import sleep, time
from typing import Any, NamedTuple

from nnunetv2.training.dataloading.nnunet_dataset import file_ending_dataset_mapping, infer_dataset_class
from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnunetv2_lwi.disk import write_json
from nnunetv2_lwi.errors import UserError, shortened, tell

SPLIT_FILE = "splits_final.json"

FOLDS = 5
"""As many as nnU-Net makes where there is no split file."""

SEED_OF_SPLIT = 12345
"""nnU-Net's."""

LOOKS, SECONDS_BETWEEN_LOOKS = 20, 0.25
"""At a file that is no JSON, and may be half written."""
SECONDS_OF_WRITING = 60
"""Since which a file that is no JSON must have been changed, to be waited for."""

ENDINGS = (*file_ending_dataset_mapping, "npy", "pkl")
"""Of what nnU-Net's preprocessing writes."""

Split = Mapping[str, list[str]]


def read_splits(dataset_folder: Path) -> list[Split]:
    """The splits of a preprocessed data set; none where nnU-Net has yet to write them.

    Raises:
        UserError: the file is no list of splits.
    """
    path = dataset_folder / SPLIT_FILE
    if path.is_dir():
        raise UserError(f"{path} is a folder: remove it, and nnU-Net makes a file there.")
    if not path.is_file():
        return []
    splits = _read_when_whole(path)
    if not (isinstance(splits, list) and all(map(_is_split, splits))):
        raise UserError(
            f'{path} must be a list of splits {{"train": [CASE, ...], "val": [CASE, ...]}}: correct it, or '
            "remove it and nnU-Net makes a new one."
        )
    return list(splits)


def make_split_if_none(dataset_folder: Path, cases: Iterable[str]) -> None:
    """Write the split that nnU-Net makes where there is none, at once: nnU-Net writes it in place, while others read it.

    Jobs and ranks that start together all write the same.

    Args:
        cases: every preprocessed case.
    """
    path = dataset_folder / SPLIT_FILE
    if not path.exists():
        write_json(path, generate_crossval_split(sorted(map(str, cases)), seed=SEED_OF_SPLIT, n_splits=FOLDS))


class Cases(NamedTuple):
    """Of a fold."""

    train: Sequence[str]
    val: Sequence[str]


def cases_of_fold(dataset_folder: Path, data_identifier: str, fold: int | str) -> Cases | None:
    """What a fold trains on and validates; None where nnU-Net has yet to draw it.

    Args:
        dataset_folder: the data set in nnUNet_preprocessed.
        data_identifier: the folder in it with the preprocessed cases.
        fold: 0, 1, ... or "all".

    Raises:
        UserError: the split file is none.
    """
    folder = dataset_folder / data_identifier
    if isinstance(fold, str):
        every = infer_dataset_class(str(folder)).get_identifiers(str(folder)) if folder.is_dir() else []
        return Cases(every, every)
    splits = read_splits(dataset_folder)
    return Cases(splits[fold]["train"], splits[fold]["val"]) if fold < len(splits) else None


def require_fold(dataset_folder: Path, data_identifier: str, fold: int | str) -> None:
    """Check that the preprocessed cases are enough for the fold.

    Args:
        dataset_folder: the data set in nnUNet_preprocessed.
        data_identifier: the folder in it with the preprocessed cases.
        fold: 0, 1, ... or "all".

    Raises:
        UserError: the cases cannot be told, or are too few for the split that nnU-Net would make.
    """
    folder = dataset_folder / data_identifier
    cases = _count_cases(folder)
    if isinstance(fold, str):
        return
    splits = read_splits(dataset_folder)
    if not splits:
        enough, reason = cases >= FOLDS, f"fewer than the {FOLDS} folds that nnU-Net makes"
    else:
        enough = cases > 1 or fold < len(splits)
        reason = f"and {SPLIT_FILE} has no fold {fold}, for which nnU-Net would draw 80 % of the cases"
    if not enough:
        raise UserError(
            f"The data set has {cases} preprocessed case{'s' * (cases > 1)}, {reason}: train with fold all, or write your "
            f'own folds to {dataset_folder / SPLIT_FILE}: [{{"train": [CASE, ...], "val": [CASE, ...]}}, ...].'
        )


def unused_cases(dataset_folder: Path, available: Iterable[str]) -> list[str]:
    """Preprocessed cases that the split file names in no fold; none where there is no file."""
    named = {case for split in read_splits(dataset_folder) for part in ("train", "val") for case in split[part]}
    return sorted(set(available) - named) if named else []


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


def _read_when_whole(path: Path) -> Any:
    """What the file holds; nnU-Net of another fold, started at the same time, may be writing it just now.

    Raises:
        UserError: it is no JSON, and still is none when no one can be writing it any more.
    """
    for look in range(LOOKS):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            problem = error
            if time() - path.stat().st_mtime > SECONDS_OF_WRITING:
                break
            if look == 0:
                tell(f"{path} is no JSON yet: waiting for who writes it.")
            sleep(SECONDS_BETWEEN_LOOKS)
    raise UserError(f"{path} is no JSON ({problem}): correct it, or remove it and nnU-Net makes a new one.") from problem


def _is_split(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_is_list_of_cases(value.get(part)) for part in ("train", "val"))


def _is_list_of_cases(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(case, str) for case in value)


def _is_foreign(name: str) -> bool:
    """What systems leave beside files (._a.b2nd, .DS_Store, .nfs0000, desktop.ini), and what a copy leaves half done."""
    return name.startswith(".") or name.rpartition(".")[2] not in ENDINGS


def _count_cases(folder: Path) -> int:
    foreign = sorted(path.name for path in folder.iterdir() if path.is_file() and _is_foreign(path.name))
    if foreign:
        raise UserError(
            f"{folder} holds files that are no preprocessed cases, which nnU-Net would stumble over: {shortened(foreign)}. "
            "Remove them (.nfs files go with the process that holds them open)."
        )
    try:
        cases = infer_dataset_class(str(folder)).get_identifiers(str(folder))
    except (AssertionError, KeyError) as error:
        raise UserError(
            f"{folder} must hold preprocessed cases of one format and nothing else, as nnU-Net tells the format by the "
            "files' endings: remove what nnUNetv2_preprocess did not write, or run it again."
        ) from error
    return len(cases)
