"""``nnUNetv2_lwi check``: does a step 1 checkpoint fit a data set, configuration and fold? None of its code is run."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_lwi.cli.options import add_target_options
from nnunetv2_lwi.nnunet.target import Target, read_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnU-Net's commands."""
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of nnUNetTrainerLWIInit")
    add_target_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Say what the checkpoint is and that it fits.

    Raises:
        UserError: it does not fit, and why.
    """
    target = read_target(arguments.dataset, arguments.plans_name, arguments.configuration, arguments.fold)
    check_for(arguments.checkpoint, target)


def check_for(checkpoint: Path, target: Target) -> None:
    """Print origin, warnings and verdict.

    Raises:
        UserError: the checkpoint does not fit the target.
    """
    from nnunetv2_lwi.handover.suitability import check_step1

    step1, verdict, transfer = check_step1(
        checkpoint, target.plans, target.configuration, target.dataset_json, target.cases()
    )
    scans = step1.provenance.get("scans_without_labels", 0)
    more = f" and {scans} scans without labels" if scans else ""
    cases = f"{len(step1.provenance['cases'])} cases{more}"
    print(f"{checkpoint}: step 1 of {step1.origin}; {cases}, {len(step1.weights)} tensors.")
    print("Versions: " + ", ".join(f"{name} {version}" for name, version in step1.provenance["versions"].items()) + ".")
    for warning in verdict.warnings:
        print(f"Warning: {warning}.")
    verdict.raise_if_refused(step1)
    print(f"It fits {target}. {transfer}")
