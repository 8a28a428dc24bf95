"""Which training is meant: data set, plans, configuration and fold, as nnU-Net's commands name them."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.names import output_folder


@dataclass(frozen=True)
class Target:
    """A training by its names, with the files that define it.

    Attributes:
        dataset_name: DatasetXXX_Name.
        fold: 0, 1, ... or "all".
    """

    dataset_name: str
    plans_name: str
    configuration: str
    fold: int | str
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    plans_file: Path

    def __str__(self) -> str:
        return f"{self.dataset_name}, plans {self.plans_name}, configuration {self.configuration}, fold {self.fold}"

    def output_folder(self, trainer: str) -> Path:
        """Where a trainer writes for this target."""
        return output_folder(trainer, self.dataset_name, self.plans_name, self.configuration, self.fold)


def parse_fold(text: str) -> int | str:
    """A fold as nnU-Net's commands take it.

    Raises:
        argparse.ArgumentTypeError: neither a whole number from 0 up nor "all".
    """
    if text == "all":
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no fold: give a whole number, or all")
    return int(text)


def read_target(dataset: str, plans_name: str, configuration: str, fold: int | str) -> Target:
    """Find the data set and read its plans, which must go by the name of their file.

    Raises:
        UserError: as :func:`find_target`, or the plans go by another name.
    """
    target = find_target(dataset, plans_name, configuration, fold)
    inner_name = target.plans.get("plans_name")
    if inner_name != plans_name:
        raise UserError(
            f"{target.plans_file} says plans_name {inner_name!r}; nnU-Net would write to the folders of those plans. "
            "Correct plans_name in the file."
        )
    return target


def find_target(dataset: str, plans_name: str, configuration: str, fold: int | str) -> Target:
    """Find the data set and read its plans, as nnU-Net's commands do.

    Raises:
        UserError: a folder is not set, or the data set, its plans or its dataset.json cannot be found or read.
    """
    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw, nnUNet_results

    for variable, name in ((nnUNet_preprocessed, "nnUNet_preprocessed"), (nnUNet_results, "nnUNet_results")):
        if not variable.is_set():
            raise UserError(f"The environment variable {name} is not set: set it to nnU-Net's folder of that name.")
    folders = [Path(str(folder)) for folder in (nnUNet_preprocessed, nnUNet_raw, nnUNet_results) if folder.is_set()]
    dataset_name = find_dataset(dataset, folders)
    folder = folders[0] / dataset_name
    plans_file = folder / f"{plans_name}.json"
    plans = read_json(plans_file, f"run nnUNetv2_plan_and_preprocess -d {dataset}, or name other plans with -p")
    dataset_json = read_json(folder / "dataset.json", f"run nnUNetv2_plan_and_preprocess -d {dataset}")
    return Target(dataset_name, plans_name, configuration, fold, plans, dataset_json, plans_file)


def find_dataset(dataset: str, folders: list[Path]) -> str:
    """DatasetXXX_Name for a name or an id.

    Raises:
        UserError: the id is that of no folder, or of several.
    """
    if not dataset.isdecimal():
        return dataset
    prefix = f"Dataset{int(dataset):03d}_"
    names = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if path.name.startswith(prefix)}
    if len(names) != 1:
        found = f"more than one: {', '.join(sorted(names))}" if names else f"none in {', '.join(map(str, folders))}"
        raise UserError(f"Data set {dataset} should be one folder {prefix}NAME, but there is {found}.")
    return names.pop()


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: there is no such file, or it holds something else; ``remedy`` says what to do.
    """
    if not path.is_file():
        raise UserError(f"There is no {path}: {remedy}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}): correct it, or {remedy}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} does not hold a JSON object: correct it, or {remedy}.")
    return content
