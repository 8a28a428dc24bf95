"""nnU-Net's folders: where the environment variables point, and what lies in them under which name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnunetv2_lwi.errors import UserError

SET_IT = "set it to nnU-Net's folder of that name"


def folder_of(variable: str) -> Path:
    """The folder that one of nnU-Net's environment variables names.

    Args:
        variable: ``nnUNet_raw``, ``nnUNet_preprocessed`` or ``nnUNet_results``.

    Raises:
        UserError: it is not set.
    """
    folder = folder_if_set(variable)
    if folder is None:
        raise UserError(f"The environment variable {variable} is not set: {SET_IT}.")
    return folder


def folder_if_set(variable: str) -> Path | None:
    """The same, or None where the variable is not set."""
    from nnunetv2 import paths

    folder = getattr(paths, variable)
    return Path(str(folder)) if folder.is_set() else None


def output_folder(trainer: str, dataset_name: str, plans_name: str, configuration: str, fold: int | str) -> Path:
    """Where nnU-Net lets a trainer write."""
    return folder_of("nnUNet_results") / dataset_name / f"{trainer}__{plans_name}__{configuration}" / f"fold_{fold}"


def find_dataset(dataset: str, folders: Sequence[Path]) -> str:
    """DatasetXXX_Name for a name or an id.

    Raises:
        UserError: the id is that of no folder, or of several.
    """
    if not dataset.isdecimal():
        return dataset
    prefix = f"Dataset{int(dataset):03d}_"
    paths = (path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.name.startswith(prefix))
    names = {path.name for path in paths if path.is_dir()}
    if len(names) != 1:
        found = f"more than one: {', '.join(sorted(names))}" if names else f"none in {', '.join(map(str, folders))}"
        raise UserError(f"Data set {dataset} should be one folder {prefix}NAME, but there is {found}.")
    return names.pop()


def number_of(dataset_name: str) -> int:
    """7 of Dataset007_Name; numbers may have more than three digits."""
    return int(dataset_name.removeprefix("Dataset").partition("_")[0])


def number_if_any(dataset_name: Any) -> int | None:
    """The same for what may be no name of a data set."""
    is_name = isinstance(dataset_name, str) and re.match(r"Dataset\d+_", dataset_name)
    return number_of(dataset_name) if is_name else None


def preprocessed_folder(dataset: str) -> Path:
    """The data set's folder in nnUNet_preprocessed.

    Raises:
        UserError: there is none.
    """
    preprocessed = folder_of("nnUNet_preprocessed")
    folder = preprocessed / find_dataset(dataset, [preprocessed])
    if not folder.is_dir():
        raise UserError(f"There is no {folder}: run nnUNetv2_plan_and_preprocess -d {dataset}.")
    return folder


def require_preprocessed(dataset_name: str, data_identifier: str, plans_name: str, configuration: str) -> None:
    """Raises:
    UserError: nnU-Net's folders are not set, or the configuration's data set is not preprocessed.
    """
    folder_of("nnUNet_results")
    folder = folder_of("nnUNet_preprocessed") / dataset_name / data_identifier
    if not folder.is_dir() or not any(folder.iterdir()):
        raise UserError(
            f"There are no preprocessed data in {folder}: run nnUNetv2_preprocess -d {number_of(dataset_name)} -plans_name "
            f"{plans_name} -c {configuration}."
        )
    fingerprint = folder.parent / "dataset_fingerprint.json"
    if not fingerprint.is_file():
        raise UserError(f"There is no {fingerprint}: run nnUNetv2_extract_fingerprint -d {number_of(dataset_name)}.")
    fingerprint.open("rb").close()  # nnU-Net copies it when the training starts
