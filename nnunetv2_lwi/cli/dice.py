"""``nnUNetv2_lwi dice``: a table of the Dice per label from nnU-Net's ``summary.json`` files."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_lwi.cli.options import add_dataset_option, add_label_options
from nnunetv2_lwi.disk import read_json
from nnunetv2_lwi.errors import BadUsage
from nnunetv2_lwi.names import STEP2_TRAINER
from nnunetv2_lwi.nnunet.folders import folder_of, preprocessed_folder
from nnunetv2_lwi.nnunet.target import parse_fold
from nnunetv2_lwi.nnunet.validations import find_validations

EXAMPLES = (
    "dice -d 4 -c 3d_fullres",
    "dice -d 17 --which synapse $RESULTS/fold_0/validation/summary.json",
)
PAGE = "howto/datasets.md#the-table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Files, or the names of a model as nnU-Net's commands take them."""
    parser.add_argument(
        "summaries",
        type=Path,
        nargs="*",
        metavar="SUMMARY_JSON",
        help="written by nnU-Net's evaluation (default: the final validations of the model that -tr, -c, -p and -f name)",
    )
    add_dataset_option(parser, more=", also for the names of the labels")
    parser.add_argument("-tr", dest="trainer", help=f"trainer (default: {STEP2_TRAINER})")
    parser.add_argument("-c", dest="configuration", help="configuration (default: 3d_fullres)")
    parser.add_argument("-p", dest="plans_name", metavar="PLANS", help="plans (default: all, beside each other)")
    parser.add_argument(
        "-f", dest="folds", type=parse_fold, nargs="+", metavar="FOLD", help="folds (default: all, beside each other)"
    )
    add_label_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the table in Markdown, a row per file, and below it what the means leave out.

    Raises:
        UserError: data set, file or label does not exist, or they do not belong together.
        BadUsage: files are named, and a model as well.
    """
    from nnunetv2_lwi.datasets.dice import make_row, markdown_table, notes
    from nnunetv2_lwi.datasets.labels import selected_labels

    names = {"-tr": arguments.trainer, "-c": arguments.configuration, "-p": arguments.plans_name, "-f": arguments.folds}
    if arguments.summaries and (given := [option for option, value in names.items() if value is not None]):
        raise BadUsage(f"{arguments.summaries[0]} and {', '.join(given)}: name files, or a model, and not both.")
    folder = preprocessed_folder(arguments.dataset)
    dataset_json = read_json(folder / "dataset.json", f"run nnUNetv2_plan_and_preprocess -d {arguments.dataset}")
    labels = dataset_json["labels"]
    selected = selected_labels(labels, arguments.labels, arguments.which)
    remedy = "give a summary.json that nnU-Net's evaluation wrote"
    paths = arguments.summaries or find_validations(
        folder_of("nnUNet_results") / folder.name,
        arguments.trainer or STEP2_TRAINER,
        arguments.configuration or "3d_fullres",
        arguments.plans_name,
        arguments.folds,
    )
    rows = [make_row(path, read_json(path, remedy), labels, selected) for path in paths]
    print(markdown_table(rows))
    for note in notes(rows):
        print(f"\n{note}")
