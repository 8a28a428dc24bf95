"""``nnUNetv2_lwi splits``: write ``splits_final.json`` with a published split."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from nnunetv2_lwi.cli.options import add_dataset_option
from nnunetv2_lwi.datasets.published_splits import SPLITS, match_cases
from nnunetv2_lwi.disk import write_json
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.folders import folder_if_set, preprocessed_folder

EXAMPLES = ("splits -d 17 --which synapse",)
PAGE = "reference/networks.md#published-splits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnU-Net's commands."""
    add_dataset_option(parser)
    parser.add_argument("--which", required=True, choices=sorted(SPLITS), help="the published split")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing splits_final.json")


def run(arguments: argparse.Namespace) -> None:
    """Write the split as fold 0.

    Raises:
        UserError: no such data set, a case is missing or ambiguous, or there is a split already.
    """
    folder = preprocessed_folder(arguments.dataset)
    path = folder / "splits_final.json"
    if path.exists() and not arguments.overwrite:
        raise UserError(f"{path} exists: append --overwrite to replace it.")
    split = SPLITS[arguments.which]
    identifiers = case_identifiers(folder)
    cases = match_cases(identifiers, split)
    write_json(path, [cases])
    train, val = (len(cases[part]) for part in ("train", "val"))
    print(f"Wrote {path}: fold 0, {train} training and {val} validation cases. {split.source}.")
    left = len(identifiers) - train - val
    if left:
        print(f"{left} cases of the data set are in neither.")
    print("Next, with the name of a preset (nnUNetv2_lwi plan --list):")
    print(f"  nnUNetv2_lwi plan -d {arguments.dataset} --preset NAME")


def case_identifiers(folder: Path) -> list[str]:
    """The labelled cases of a data set: as preprocessed, or else its raw label files.

    Raises:
        UserError: neither can be found.
    """
    ending = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["file_ending"]
    raw = folder_if_set("nnUNet_raw")
    folders = [folder / "gt_segmentations", *([] if raw is None else [raw / folder.name / "labelsTr"])]
    for labels in folders:
        names = [path.name.removesuffix(ending) for path in labels.glob(f"*{ending}")] if labels.is_dir() else []
        if names:
            return sorted(names)
    raise UserError(f"No label files in {' or '.join(map(str, folders))}: run nnUNetv2_plan_and_preprocess first.")
