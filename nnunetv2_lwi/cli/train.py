"""``nnUNetv2_lwi train``: both steps through nnU-Net's own command, skipping what is finished, resuming what was cut."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_lwi.cli.check import check_for
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.names import FINAL, IN_ORDER_OF_RESUMING, STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.nnunet.commands import nnunet_environment, run_command, shell_line, stock_command, what_is_left
from nnunetv2_lwi.nnunet.target import Target, parse_fold, read_target


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
    require_both_steps(target, arguments.device, arguments.num_gpus)
    more = ["-device", arguments.device] if arguments.device != "cuda" else []
    more += ["-num_gpus", str(arguments.num_gpus)] if arguments.num_gpus > 1 else []
    if arguments.step1 is not None:
        check_for(arguments.step1, target)
    require_unchanged(target, arguments.step1)
    if arguments.step1 is None and needs_step1(target):
        run_step(target, STEP1_TRAINER, more)
        check_for(target.output_folder(STEP1_TRAINER) / FINAL, target)
    start = ["-pretrained_weights", str(arguments.step1)] if arguments.step1 is not None else []
    run_step(target, STEP2_TRAINER, more, start, with_probabilities=arguments.npz)


def require_both_steps(target: Target, device: str, gpus: int) -> None:
    """Look at what either step needs before the first begins, which may take days.

    Raises:
        UserError: as :func:`~nnunetv2_lwi.training.preconditions.require_trainable`, or there are not as many GPUs.
    """
    import torch

    from nnunetv2_lwi.training.devices import require_gpus
    from nnunetv2_lwi.training.preconditions import require_trainable
    from nnunetv2_lwi.training.step2_needs import require_declared_labels

    require_gpus(device, gpus)
    for trainer in (STEP1_TRAINER, STEP2_TRAINER):
        require_trainable(
            trainer, target.plans, target.configuration, target.fold, target.dataset_json, torch.device(device)
        )
    require_declared_labels(target)


def require_unchanged(target: Target, step1: Path | None) -> None:
    """Never take a step 2 of other settings, or from another start, for the one that is asked for.

    Raises:
        UserError: there is one.
    """
    from nnunetv2_lwi.handover.suitability import changes_since, read_step2
    from nnunetv2_lwi.planning.recipes import way_back

    folder = target.output_folder(STEP2_TRAINER)
    checkpoint = newest_checkpoint(folder)
    if checkpoint is None:
        return
    state = read_step2(checkpoint)
    changes = changes_since(state, target.plans, target.configuration, target.dataset_json, target.cases())
    if step1 is not None and not _began_from(step1, start := state["start"]):
        changes.append(f"start: {start.get('path') or start['kind']}, here {step1}")
    if changes:
        raise UserError(
            f"{checkpoint} was trained otherwise than now asked for: {'; '.join(changes)}{way_back(changes)}. Move {folder} "
            "away, or use plans of another name (-p)."
        )


def _began_from(step1: Path, start: Mapping[str, Any]) -> bool:
    """Whether a training did, as far as its checkpoint tells; a file that was moved since cannot be compared."""
    path = start.get("path")
    return start["kind"] != "random" and (path is None or not Path(path).exists() or step1.samefile(path))


def needs_step1(target: Target) -> bool:
    """Whether step 1 is to be run: the plan may say that step 2 starts random, and one that has begun needs none."""
    from nnunetv2_lwi.planning.configuration import resolve_configuration
    from nnunetv2_lwi.planning.settings import LWISettings

    settings = LWISettings.from_configuration(resolve_configuration(target.plans, target.configuration).configuration)
    if settings.seg.start == "random":
        print('No step 1: the plan says "start": "random".')
        return False
    begun = newest_checkpoint(target.output_folder(STEP2_TRAINER))
    if begun is not None and not (target.output_folder(STEP1_TRAINER) / FINAL).is_file():
        print(f"No step 1 here: step 2 has begun from one, and goes on by itself ({begun}).")
        return False
    return True


def newest_checkpoint(fold_folder: Path) -> Path | None:
    """The one that a training of this folder would go on from, if there is any."""
    return next((fold_folder / name for name in IN_ORDER_OF_RESUMING if (fold_folder / name).is_file()), None)


def run_step(
    target: Target, trainer: str, more: Sequence[str], start: Sequence[str] = (), with_probabilities: bool = False
) -> None:
    """Run, resume, validate or skip one step, according to what lies in its output folder."""
    folder = target.output_folder(trainer)
    how = what_is_left(folder, start, str(target.dataset_json["file_ending"]) if with_probabilities else None)
    if how is None:
        print(f"{trainer}: finished, skipped ({folder}).")
        return
    words = [target.dataset_name, target.configuration, str(target.fold), "-tr", trainer, "-p", target.plans_name]
    npz = ["--npz"] if with_probabilities else []
    command = stock_command("nnUNetv2_train", *words, *more, *npz, *how)
    print(f"{trainer}: {shell_line(command)}", flush=True)
    code = run_command(command, nnunet_environment())
    if code != 0:
        raise UserError(f"{trainer} ended with exit code {code}; the reason stands above. Run the same command to go on.")
