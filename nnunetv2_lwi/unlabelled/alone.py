"""Step 1 of a data set without labelled cases: its scans without labels take the place of the configuration's data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.folders import folder_if_set
from nnunetv2_lwi.nnunet.inheritance import resolve
from nnunetv2_lwi.nnunet.split_file import Cases
from nnunetv2_lwi.unlabelled.folder import SUFFIX, UnlabelledFolder
from nnunetv2_lwi.unlabelled.selection import usable_scans

HELD_OUT_SHARE, HELD_OUT_MOST = 0.05, 20
"""Of the scans, for step 1's validation."""


def is_alone(configuration: Mapping[str, Any]) -> bool:
    """Whether a resolved configuration's data are scans without labels."""
    return str(configuration.get("data_identifier", "")).endswith(SUFFIX)


def on_scans_alone(plans: Mapping[str, Any], configuration: str) -> dict[str, Any]:
    """The plans; where no labelled case is preprocessed and scans without labels are, with those as the data."""
    same = dict(plans)
    preprocessed, configurations = folder_if_set("nnUNet_preprocessed"), plans.get("configurations")
    if preprocessed is None or not isinstance(configurations, Mapping):
        return same
    block = configurations.get(configuration)
    identifier = resolve(same, configuration).get("data_identifier") if isinstance(block, Mapping) else None
    if block is None or not isinstance(identifier, str):
        return same
    dataset = preprocessed / str(plans.get("dataset_name"))
    labelled, beside = dataset / identifier, UnlabelledFolder.beside(dataset, identifier)
    if (labelled.is_dir() and any(labelled.iterdir())) or not beside.files():
        return same
    return {
        **same,
        "configurations": {**configurations, configuration: {**block, "data_identifier": beside.path.name}},
    }


def require_fold_all(configuration: Mapping[str, Any], fold: int | str) -> None:
    """Raises:
    UserError: a fold is asked for where there are no labelled cases to split.
    """
    if is_alone(configuration) and fold != "all":
        raise UserError(
            "No labelled case is preprocessed that could be split into folds, only scans without labels: preprocess "
            f"labelled cases (nnUNetv2_preprocess), or train fold all, not {fold}."
        )


def split_scans(dataset_folder: Path, plans: Mapping[str, Any], configuration: Mapping[str, Any]) -> Cases:
    """What step 1 trains on, and a few scans that it is validated with.

    Args:
        dataset_folder: the data set in nnUNet_preprocessed.
        configuration: resolved, with scans without labels as its data.

    Raises:
        UserError: there are fewer than two, or they were preprocessed by another plan.
    """
    folder = UnlabelledFolder.beside(dataset_folder, configuration["data_identifier"])
    names = sorted(usable_scans(folder, folder.read(), plans, configuration))
    if len(names) < 2:
        raise UserError(f"{folder.path} has {len(names)} scans without labels: step 1 needs at least two.")
    return Cases(*held_out(names))


def held_out(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Training and validation: the latter spread over the list, one in twenty, at least one and at most twenty."""
    count = min(HELD_OUT_MOST, max(1, round(HELD_OUT_SHARE * len(names))))
    places = {len(names) * number // count for number in range(count)}
    return (
        [name for place, name in enumerate(names) if place not in places],
        [name for place, name in enumerate(names) if place in places],
    )
