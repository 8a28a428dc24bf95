"""``nnUNetv2_lwi train``: both steps through nnU-Net's own command, skipping what is finished, resuming what was cut."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from nnunetv2_lwi.cli.check import check_for
from nnunetv2_lwi.cli.commands import nnunet_environment, shell_line, stock_command, what_is_left
from nnunetv2_lwi.cli.target import Target, parse_fold, read_target
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.names import STEP1_TRAINER, STEP2_TRAINER


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As nnUNetv2_train takes them."""
    parser.add_argument("dataset", help="data set name or id")
    parser.add_argument("configuration", help="configuration, e.g. 3d_fullres")
    parser.add_argument("fold", type=parse_fold, help="0, 1, ... or all")
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


def run(arguments: argparse.Namespace) -> None:
    """Run what is left of both steps.

    Raises:
        UserError: the training cannot start, or nnU-Net's command failed.
    """
    target = read_target(arguments.dataset, arguments.plans_name, arguments.configuration, arguments.fold)
    more = ["-device", arguments.device] if arguments.device != "cuda" else []
    more += ["-num_gpus", str(arguments.num_gpus)] if arguments.num_gpus > 1 else []
    if arguments.step1 is not None:
        check_for(arguments.step1, target)
    elif needs_step1(target):
        run_step(target, STEP1_TRAINER, more, start=[])
        check_for(target.output_folder(STEP1_TRAINER) / "checkpoint_final.pth", target)
    npz = ["--npz"] if arguments.npz else []
    start = ["-pretrained_weights", str(arguments.step1)] if arguments.step1 is not None else []
    run_step(target, STEP2_TRAINER, more + npz, start)


def needs_step1(target: Target) -> bool:
    """Whether step 2 starts from step 1; the plan may say that it starts random."""
    from nnunetv2_lwi.settings import LWISettings
    from nnunetv2_lwi.training.preconditions import resolve_configuration

    settings = LWISettings.from_configuration(resolve_configuration(target.plans, target.configuration).configuration)
    if settings.seg.start == "random":
        print('No step 1: the plan says "start": "random".')
    return settings.seg.start == "step1"


def run_step(target: Target, trainer: str, more: list[str], start: list[str]) -> None:
    """Run, resume, validate or skip one step, according to what lies in its output folder."""
    folder = target.output_folder(trainer)
    how = what_is_left(folder, start)
    if how is None:
        print(f"{trainer}: finished, skipped ({folder}).")
        return
    words = [target.dataset_name, target.configuration, str(target.fold), "-tr", trainer, "-p", target.plans_name]
    command = stock_command("nnUNetv2_train", *words, *more, *how)
    print(f"{trainer}: {shell_line(command)}", flush=True)
    code = subprocess.run(command, env=nnunet_environment(), check=False).returncode
    if code != 0:
        raise UserError(f"{trainer} ended with exit code {code}; the reason stands above. Run the same command to go on.")
