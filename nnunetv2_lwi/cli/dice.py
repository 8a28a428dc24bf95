"""``nnUNetv2_lwi dice``: a table of the Dice per label from nnU-Net's ``summary.json`` files."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_lwi.cli.options import add_dataset_option, add_label_options
from nnunetv2_lwi.disk import read_json
from nnunetv2_lwi.nnunet.folders import preprocessed_folder

EXAMPLES = ("dice -d 17 --which synapse $RESULTS/fold_0/validation/summary.json",)
PAGE = "howto/datasets.md#the-table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnU-Net's commands."""
    parser.add_argument("summaries", type=Path, nargs="+", metavar="SUMMARY_JSON", help="written by nnU-Net's evaluation")
    add_dataset_option(parser, more=", for the names of the labels")
    add_label_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the table in Markdown, a row per file, and below it what the means leave out.

    Raises:
        UserError: data set, file or label does not exist, or they do not belong together.
    """
    from nnunetv2_lwi.datasets.dice import make_row, markdown_table, notes
    from nnunetv2_lwi.datasets.labels import selected_labels

    folder = preprocessed_folder(arguments.dataset)
    dataset_json = read_json(folder / "dataset.json", f"run nnUNetv2_plan_and_preprocess -d {arguments.dataset}")
    labels = dataset_json["labels"]
    selected = selected_labels(labels, arguments.labels, arguments.which)
    remedy = "give a summary.json that nnU-Net's evaluation wrote"
    rows = [make_row(path, read_json(path, remedy), labels, selected) for path in arguments.summaries]
    print(markdown_table(rows))
    for note in notes(rows):
        print(f"\n{note}")
