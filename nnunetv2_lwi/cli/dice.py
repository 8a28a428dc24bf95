"""``nnUNetv2_lwi dice``: a table of the Dice per label from nnU-Net's ``summary.json`` files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nnunetv2_lwi.datasets.published_splits import SPLITS
from nnunetv2_lwi.disk import read_json
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.folders import preprocessed_folder

NEVER_SCORED = ("background", "ignore")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnU-Net's commands."""
    parser.add_argument("summaries", type=Path, nargs="+", metavar="SUMMARY_JSON", help="written by nnU-Net's evaluation")
    parser.add_argument("-d", dest="dataset", required=True, help="data set name or id, for the names of the labels")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--labels", metavar="NAME,NAME", help="labels to report, as dataset.json names them (default: all)")
    which.add_argument("--which", choices=sorted(SPLITS), help="report the labels that are published of this split")


def run(arguments: argparse.Namespace) -> None:
    """Print the table in Markdown, a row per file, and below it what the means leave out.

    Raises:
        UserError: data set, file or label does not exist, or they do not belong together.
    """
    from nnunetv2_lwi.datasets.dice import make_row, markdown_table, notes

    folder = preprocessed_folder(arguments.dataset)
    dataset_json = read_json(folder / "dataset.json", f"run nnUNetv2_plan_and_preprocess -d {arguments.dataset}")
    labels = dataset_json["labels"]
    selected = selected_labels(arguments, labels)
    remedy = "give a summary.json that nnU-Net's evaluation wrote"
    rows = [make_row(path, read_json(path, remedy), labels, selected) for path in arguments.summaries]
    print(markdown_table(rows))
    for note in notes(rows):
        print(f"\n{note}")


def selected_labels(arguments: argparse.Namespace, labels: dict[str, Any]) -> list[str]:
    """The names to report, in the order to report them.

    Raises:
        UserError: the data set has no such label.
    """
    known = [name for name in labels if name not in NEVER_SCORED]
    if arguments.labels is not None:
        wanted = [name.strip() for name in arguments.labels.split(",")]
    else:
        wanted = list(SPLITS[arguments.which].organs if arguments.which else ()) or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UserError(f"The data set has no label {', '.join(unknown)}: it has {', '.join(known)}.")
    return list(dict.fromkeys(wanted))
