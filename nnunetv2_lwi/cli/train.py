"""``nnUNetv2_lwi train``: both steps through nnU-Net's own command, skipping what is finished, resuming what was cut."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunetv2_lwi.cli.options import add_device_option, add_plans_option, complete_dataset
from nnunetv2_lwi.errors import BadUsage, UserError
from nnunetv2_lwi.nnunet.target import parse_fold

if TYPE_CHECKING:
    from nnunetv2_lwi.jobs.steps import Job
    from nnunetv2_lwi.nnunet.target import Target


EXAMPLES = ("train 4 3d_fullres 0", "train -d 4 -c 3d_fullres -f 0 1 2 -device cpu", "train 4 3d_fullres")
MORE_EXIT_CODES = " 75: asked to end by a signal, and saved; the same command goes on."
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
        BadUsage: something is said twice, no data set is named, or a number is not possible.
    """
    for name, option in (("dataset", "-d"), ("configuration", "-c")):
        said, also = getattr(arguments, name), getattr(arguments, f"{name}_option")
        if said is not None and also is not None:
            raise BadUsage(f"{option} {also} and {said}: the {name.replace('dataset', 'data set')} is said twice.")
        setattr(arguments, name, said if said is not None else also)
    if arguments.dataset is None:
        raise BadUsage("Name a data set: nnUNetv2_lwi train DATASET CONFIGURATION [FOLD], or -d DATASET.")
    if arguments.num_gpus < 1:
        raise BadUsage(f"-num_gpus {arguments.num_gpus} must be at least 1.")
    arguments.configuration = arguments.configuration or "3d_fullres"
    if arguments.fold is not None:
        if arguments.folds is not None:
            raise BadUsage(f"Fold {arguments.fold} and -f: give one of them.")
        arguments.folds = [arguments.fold]


def run(arguments: argparse.Namespace) -> None:
    """Run what is left of both steps: by nnU-Net's command, or in the group of processes that a launcher started.

    Raises:
        UserError: the training cannot start, or nnU-Net's command failed.
        AskedToEnd: by a signal; the same command goes on.
    """
    settle(arguments)

    from nnunetv2_lwi.jobs.execution import run_apart
    from nnunetv2_lwi.jobs.folds import run_open_folds, trainings_of_folds
    from nnunetv2_lwi.jobs.group import group_of_launcher, run_in_group
    from nnunetv2_lwi.jobs.steps import trainings_left

    group = group_of_launcher(arguments.device, arguments.num_gpus)
    if group is not None:
        run_in_group(group, lambda: trainings_of_folds(jobs(arguments, group.size)))
        if group.rank == 0:
            tell_outcome(jobs(arguments))
        return
    wanted = jobs(arguments)
    if arguments.folds is not None and len(wanted) == 1:
        for training in trainings_left(*wanted):
            run_apart(training)
        tell_outcome(wanted)
        return
    run_open_folds(wanted, run_apart, tell_outcome)


def tell_outcome(jobs: Sequence[Job]) -> None:
    """Of the folds that are done."""
    from nnunetv2_lwi.jobs.outcome import outcome

    if text := outcome([job.target for job in jobs]):
        print(text, flush=True)


def jobs(arguments: argparse.Namespace, ranks: int = 1) -> list[Job]:
    """One for each fold.

    Args:
        ranks: that share a batch.

    Raises:
        UserError: there is no such data set, plans, configuration or fold.
    """
    from nnunetv2_lwi.jobs.folds import folds_of_split
    from nnunetv2_lwi.jobs.steps import Job
    from nnunetv2_lwi.nnunet.split_file import SPLIT_FILE
    from nnunetv2_lwi.nnunet.target import read_target
    from nnunetv2_lwi.planning.configuration import resolve_configuration

    def target(fold: int | str) -> Target:
        return read_target(arguments.dataset, arguments.plans_name, arguments.configuration, fold)

    any_fold = target(0)
    resolve_configuration(any_fold.plans, any_fold.configuration)
    known = folds_of_split(any_fold)
    folds = arguments.folds or known
    if unknown := [fold for fold in folds if isinstance(fold, int) and fold not in known]:
        raise UserError(
            f"There is no fold {unknown[0]}: the split has folds 0 to {len(known) - 1}. Add it to {SPLIT_FILE}; the stock "
            "nnUNetv2_train takes a random 80 % of the cases for it."
        )
    more = (arguments.device, arguments.num_gpus, ranks, arguments.npz, arguments.step1, arguments.grow)
    return [Job(target(fold), *more) for fold in folds]
