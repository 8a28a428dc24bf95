"""``nnUNetv2_lwi train``: both steps through nnU-Net's own command, skipping what is finished, resuming what was cut."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nnunetv2_lwi.cli.options import add_device_option, add_plans_option, complete_dataset
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.target import parse_fold

if TYPE_CHECKING:
    from nnunetv2_lwi.jobs.steps import Job
    from nnunetv2_lwi.nnunet.target import Target


EXAMPLES = ("train 4 3d_fullres 0", "train -d 4 -c 3d_fullres -f 0 1 2 -device cpu", "train 4 3d_fullres")
PAGE = "howto/clusters.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Positions as nnUNetv2_train takes them, or the options of the other commands."""
    positions = parser.add_argument_group("as nnUNetv2_train, or by -d, -c and -f")
    dataset = positions.add_argument("dataset", nargs="?", metavar="DATASET", help="data set name or id")
    positions.add_argument("configuration", nargs="?", metavar="CONFIGURATION", help="(default: 3d_fullres)")
    positions.add_argument(
        "fold", type=parse_fold, nargs="?", metavar="FOLD", help="0, 1, ... or all (default: every fold of the split)"
    )
    dataset_option = parser.add_argument("-d", dest="dataset_option", metavar="DATASET", help="as the first position")
    for argument in (dataset, dataset_option):
        argument.completer = complete_dataset  # type: ignore[attr-defined]
    parser.add_argument("-c", dest="configuration_option", metavar="CONFIGURATION", help="as the second position")
    parser.add_argument(
        "-f",
        "--folds",
        dest="folds",
        type=parse_fold,
        nargs="+",
        metavar="FOLD",
        help="one or several, one after the other; of jobs that share a file system each takes a fold that no other has "
        "(default: every fold of the split)",
    )
    add_plans_option(parser)
    add_device_option(parser)
    parser.add_argument("-num_gpus", type=int, default=1, help="number of GPUs (default: %(default)s)")
    parser.add_argument("--npz", action="store_true", help="save step 2's probabilities in its final validation")
    parser.add_argument(
        "--step1",
        type=Path,
        metavar="CHECKPOINT",
        help="start step 2 from this step 1, of another data set or fold if need be, and run no step 1 (default: run it)",
    )
    parser.add_argument(
        "--grow",
        action="store_true",
        help="where scans without labels came since step 1: train it again on all of them, from its old weights",
    )


def settle(arguments: argparse.Namespace) -> None:
    """Bring positions and options together, into ``dataset``, ``configuration`` and ``folds``.

    Raises:
        UserError: something is said twice, or no data set is named.
    """
    for name, option in (("dataset", "-d"), ("configuration", "-c")):
        said, also = getattr(arguments, name), getattr(arguments, f"{name}_option")
        if said is not None and also is not None:
            raise UserError(f"{option} {also} and {said}: the {name.replace('dataset', 'data set')} is said twice.")
        setattr(arguments, name, said if said is not None else also)
    if arguments.dataset is None:
        raise UserError("Name a data set: nnUNetv2_lwi train DATASET CONFIGURATION [FOLD], or -d DATASET.")
    arguments.configuration = arguments.configuration or "3d_fullres"
    if arguments.fold is not None:
        if arguments.folds is not None:
            raise UserError(f"Fold {arguments.fold} and -f: give one of them.")
        arguments.folds = [arguments.fold]


def run(arguments: argparse.Namespace) -> None:
    """Run what is left of both steps: by nnU-Net's command, or in the group of processes that a launcher started.

    Raises:
        UserError: the training cannot start, or nnU-Net's command failed.
        AskedToEnd: by a signal; the same command goes on.
    """
    from nnunetv2_lwi.jobs.execution import run_apart
    from nnunetv2_lwi.jobs.folds import run_open_folds, trainings_of_folds
    from nnunetv2_lwi.jobs.group import group_of_launcher, run_in_group
    from nnunetv2_lwi.jobs.outcome import outcome
    from nnunetv2_lwi.jobs.steps import trainings_left

    settle(arguments)
    group = group_of_launcher(arguments.device, arguments.num_gpus)
    if group is not None:
        run_in_group(group, lambda: trainings_of_folds(jobs(arguments, group.size)))
    elif arguments.folds is not None and len(arguments.folds) == 1:
        for training in trainings_left(*jobs(arguments)):
            run_apart(training)
    else:
        run_open_folds(jobs(arguments), run_apart)
    if group is None or group.rank == 0:
        print(outcome([job.target for job in jobs(arguments)]) or "", flush=True)


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

    folds = arguments.folds or folds_of_split(target(0))
    more = (arguments.device, arguments.num_gpus, ranks, arguments.npz, arguments.step1, arguments.grow)
    return [Job(target(fold), *more) for fold in folds]
