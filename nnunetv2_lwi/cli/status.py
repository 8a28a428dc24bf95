"""``nnUNetv2_lwi status``: data sets, plans, configurations, folds and steps, and how each stands."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from nnunetv2_lwi.cli.options import complete_dataset
from nnunetv2_lwi.nnunet.folders import find_dataset, folder_of

if TYPE_CHECKING:
    from nnunetv2_lwi.jobs.status import Standing

EXAMPLES = ("status", "status -d 4 --json")
PAGE = "howto/clusters.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Data sets as in nnU-Net's commands."""
    option = parser.add_argument(
        "-d", dest="datasets", nargs="+", metavar="DATASET", help="names or ids (default: all that have results)"
    )
    option.completer = complete_dataset  # type: ignore[attr-defined]
    parser.add_argument("--json", action="store_true", help="print a list in JSON, for scripts")


def run(arguments: argparse.Namespace) -> None:
    """Print a table, or JSON.

    Raises:
        UserError: a folder is not set, or there is no such data set.
    """
    from nnunetv2_lwi.jobs.status import standings

    results, preprocessed = folder_of("nnUNet_results"), folder_of("nnUNet_preprocessed")
    names = None
    if arguments.datasets is not None:
        names = [find_dataset(dataset, [preprocessed, results]) for dataset in arguments.datasets]
    found = list(standings(results, preprocessed, names))
    print(json.dumps([asdict(one) for one in found], indent=1) if arguments.json else described(found))


def described(found: Sequence[Standing]) -> str:
    """As a table; what is the same as in the row above is left out."""
    from nnunetv2_lwi.markdown import table

    if not found:
        return "Nothing was begun."
    rows = [("data set", "plans", "configuration", "fold", "step", "state", "epoch", "ends about", "Dice", "remarks")]
    for one in found:
        epoch = "" if one.epoch is None else f"{one.epoch} of {one.epochs}"
        dice = "" if one.dice is None else f"{one.dice:.4f}"
        remarks = [f"{'by' if one.state == 'running' else 'last by'} {one.by}"] if one.by else []
        remarks += [f"stale: {one.stale}"] if one.stale else []
        names = (one.dataset, one.plans, one.configuration, one.fold, str(one.step))
        rows.append((*names, one.state, epoch, one.ends or "", dice, "; ".join(remarks)))
    return table(rows)
