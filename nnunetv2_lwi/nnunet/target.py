"""Which training is meant: data set, plans, configuration and fold, as nnU-Net's commands name them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunetv2_lwi.disk import read_json
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.folders import find_dataset, folder_if_set, folder_of, number_if_any, output_folder
from nnunetv2_lwi.nnunet.inheritance import resolve

if TYPE_CHECKING:
    from nnunetv2_lwi.nnunet.split_file import Cases


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

    def cases(self) -> Cases | None:
        """Of the fold; None where nnU-Net has yet to draw them, or the configuration is none.

        Raises:
            UserError: the split file is none.
        """
        from nnunetv2_lwi.nnunet.split_file import cases_of_fold

        identifier = self.resolved().get("data_identifier")
        return None if identifier is None else cases_of_fold(self.plans_file.parent, identifier, self.fold)

    def resolved(self) -> dict[str, Any]:
        """The configuration, inheritance resolved."""
        return resolve(self.plans, self.configuration)

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
    require_own_names(target.plans, target.dataset_name, plans_name)
    return target


def require_own_names(plans: Mapping[str, Any], dataset: str, plans_name: str) -> None:
    """Plans that were copied by hand may go by other names within, which are those that nnU-Net trains and writes by.

    Args:
        plans: the content of the file.
        dataset: name or id of the data set in whose folder the file lies.
        plans_name: of the file.

    Raises:
        UserError: they do.
    """
    inner_plans, inner_dataset = plans.get("plans_name"), plans.get("dataset_name")
    if inner_plans != plans_name:
        raise UserError(
            f"{plans_name}.json of data set {dataset} says plans_name {inner_plans!r}; nnU-Net would write to the folders "
            "of those plans. Correct plans_name in the file."
        )
    by_number = dataset.isdecimal() and int(dataset) == number_if_any(inner_dataset)
    if not by_number and dataset != inner_dataset:
        raise UserError(
            f"{plans_name}.json of data set {dataset} says dataset_name {inner_dataset!r}; nnU-Net would train on that data "
            "set and write to its folders. Correct dataset_name in the file, or plan this data set."
        )


def find_target(dataset: str, plans_name: str, configuration: str, fold: int | str) -> Target:
    """Find the data set and read its plans, as nnU-Net's commands do.

    Raises:
        UserError: a folder is not set, or the data set, its plans or its dataset.json cannot be found or read.
    """
    folders = [folder_of("nnUNet_preprocessed"), folder_if_set("nnUNet_raw"), folder_of("nnUNet_results")]
    dataset_name = find_dataset(dataset, [folder for folder in folders if folder is not None])
    folder = folder_of("nnUNet_preprocessed") / dataset_name
    plans_file = folder / f"{plans_name}.json"
    plans = read_json(plans_file, f"run nnUNetv2_plan_and_preprocess -d {dataset}, or name other plans with -p")
    dataset_json = read_json(folder / "dataset.json", f"run nnUNetv2_plan_and_preprocess -d {dataset}")
    return Target(dataset_name, plans_name, configuration, fold, plans, dataset_json, plans_file)
