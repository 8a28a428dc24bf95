"""``nnUNetv2_lwi probe``: what did step 1 learn for a segmentation? A linear probe of every stage, beside a random start."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nnunetv2_lwi.cli.options import add_device_option, add_target_options
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.names import FITTED_CASES, TESTED_CASES
from nnunetv2_lwi.nnunet.target import Target, read_target

EXAMPLES = ("probe $STEP1/checkpoint_final.pth -d 4 -c 3d_fullres -f 0",)
PAGE = "explanation/method.md#what-a-segmentation-can-take-from-it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnU-Net's commands."""
    parser.add_argument("checkpoint", type=Path, help="a finished step 1: checkpoint_final.pth of nnUNetTrainerLWIInit")
    add_target_options(parser)
    add_device_option(parser, found_out=True)
    parser.add_argument("--fit", type=int, default=FITTED_CASES, help="training cases to fit on (default: %(default)s)")
    parser.add_argument("--test", type=int, default=TESTED_CASES, help="validation cases to test on (default: %(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Print a table in Markdown: by stage and start the readout's AUC and Dice, and the features' effective rank.

    Raises:
        UserError: the checkpoint does not fit, or the fold has no such cases.
    """
    target = read_target(arguments.dataset, arguments.plans_name, arguments.configuration, arguments.fold)
    for name in ("fit", "test"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name} {getattr(arguments, name)} must be at least 1.")
    print(probe_for(arguments.checkpoint, target, arguments.fit, arguments.test, arguments.device))


def probe_for(checkpoint: Path, target: Target, fitted: int, tested: int, device_name: str | None = None) -> str:
    """The table.

    Raises:
        UserError: see :func:`run`.
    """
    import numpy as np
    import torch
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
    from tqdm import tqdm

    from nnunetv2_lwi.handover.probing import probe_step1
    from nnunetv2_lwi.handover.suitability import check_step1
    from nnunetv2_lwi.markdown import table
    from nnunetv2_lwi.nnunet.folders import require_preprocessed
    from nnunetv2_lwi.nnunet.split_file import Cases
    from nnunetv2_lwi.planning.configuration import resolve_configuration
    from nnunetv2_lwi.training.machine.devices import require_device

    device = torch.device(device_name or ("cuda" if torch.cuda.is_available() else "cpu"))
    require_device(device)
    resolved = resolve_configuration(target.plans, target.configuration)
    require_preprocessed(target.dataset_name, resolved.data_identifier, target.plans_name, target.configuration)
    cases = target.cases() or Cases([], [])
    step1, verdict, _ = check_step1(checkpoint, target.plans, target.configuration, target.dataset_json, cases)
    verdict.raise_if_refused(step1)
    folder = str(target.plans_file.parent / resolved.data_identifier)
    dataset = infer_dataset_class(folder)
    fit_cases, test_cases = sorted(cases.train)[:fitted], sorted(set(cases.val) - set(cases.train))[:tested]
    starts = 2 + bool(step1.kept_back)
    progress = tqdm(total=starts * (len(fit_cases) + len(test_cases)), desc="Probing cases", disable=None)

    def open_case(case: str) -> Any:
        progress.update()
        return dataset(folder, [case])

    probed = probe_step1(
        step1,
        target.plans,
        target.configuration,
        target.dataset_json,
        open_case,
        fit_cases,
        test_cases,
        device,
    )
    progress.close()
    classes = probed[0].classes
    rows = [["stage", "start", "AUC", "Dice", "rank", *(f"AUC / Dice of class {label}" for label in classes)]]
    for one in probed:
        for start, outcome in one.by_start.items():
            dice, moments = outcome.dice(classes), outcome.moments
            means = (f"{outcome.mean_area:.3f}", f"{np.nanmean(list(dice.values())):.3f}")
            by_class = (f"{outcome.area[label]:.2f} / {dice[label]:.2f}" for label in classes)
            rows.append([one.stage, start, *means, f"{moments.effective_rank():.1f} of {moments.channels}", *by_class])
    return table(rows)
