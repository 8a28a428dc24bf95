"""``nnUNetv2_lwi train``: both steps through nnU-Net's own command, skipping what is finished, resuming what was cut."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.target import parse_fold

if TYPE_CHECKING:
    from nnunetv2_lwi.jobs.steps import Job
    from nnunetv2_lwi.nnunet.target import Target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As nnUNetv2_train takes them."""
    parser.add_argument("dataset", help="data set name or id")
    parser.add_argument("configuration", help="configuration, e.g. 3d_fullres")
    parser.add_argument("fold", type=parse_fold, nargs="?", help="0, 1, ... or all (default: every fold of the split)")
    parser.add_argument(
        "--folds",
        type=parse_fold,
        nargs="+",
        metavar="FOLD",
        help="several, one after the other; of jobs that share a file system each takes a fold that no other has",
    )
    parser.add_argument("-p", dest="plans_name", default="nnUNetPlans", help="plans (default: %(default)s)")
    parser.add_argument("-device", default="cuda", choices=("cuda", "cpu", "mps"), help="(default: %(default)s)")
    parser.add_argument("-num_gpus", type=int, default=1, help="number of GPUs (default: %(default)s)")
    parser.add_argument("--npz", action="store_true", help="save step 2's probabilities in its final validation")
    parser.add_argument(
        "--step1",
        type=Path,
        metavar="CHECKPOINT",
        help="start step 2 from this step 1, of another data set or fold if need be, and run no step 1",
    )
    parser.add_argument(
        "--grow",
        action="store_true",
        help="where scans without labels came since step 1: train it again on all of them, from its old weights",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run what is left of both steps: by nnU-Net's command, or in the group of processes that a launcher started.

    Raises:
        UserError: the training cannot start, or nnU-Net's command failed.
        AskedToEnd: by a signal; the same command goes on.
    """
    from nnunetv2_lwi.jobs.execution import run_apart
    from nnunetv2_lwi.jobs.folds import run_open_folds, trainings_of_folds
    from nnunetv2_lwi.jobs.group import group_of_launcher, run_in_group
    from nnunetv2_lwi.jobs.steps import trainings_left

    if arguments.fold is not None and arguments.folds is not None:
        raise UserError(f"Fold {arguments.fold} and --folds: give one of them.")
    group = group_of_launcher(arguments.device, arguments.num_gpus)
    if group is not None:
        run_in_group(group, lambda: trainings_of_folds(jobs(arguments, group.size)))
    elif arguments.fold is not None:
        for training in trainings_left(*jobs(arguments)):
            run_apart(training)
    else:
        run_open_folds(jobs(arguments), run_apart)


def jobs(arguments: argparse.Namespace, ranks: int = 1) -> list[Job]:
    """One for each fold.

    Args:
        ranks: that share a batch.
    """
    from nnunetv2_lwi.jobs.folds import folds_of_split
    from nnunetv2_lwi.jobs.steps import Job
    from nnunetv2_lwi.nnunet.target import read_target

    def target(fold: int | str) -> Target:
        return read_target(arguments.dataset, arguments.plans_name, arguments.configuration, fold)

    folds = [arguments.fold] if arguments.fold is not None else arguments.folds or folds_of_split(target(0))
    more = (arguments.device, arguments.num_gpus, ranks, arguments.npz, arguments.step1, arguments.grow)
    return [Job(target(fold), *more) for fold in folds]
