"""``nnUNetv2_lwi check``: does a step 1 checkpoint fit a data set, configuration and fold? None of its code is run."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_lwi.cli.options import add_target_options
from nnunetv2_lwi.errors import CouldNotLook, DoesNotFit, UserError
from nnunetv2_lwi.nnunet.target import read_target

EXAMPLES = ("check $STEP1/checkpoint_final.pth -d 4 -c 3d_fullres -f 0",)
PAGE = "explanation/method.md#the-hand-over"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnU-Net's commands."""
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of nnUNetTrainerLWIInit")
    add_target_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Say what the checkpoint is and that it fits.

    Raises:
        DoesNotFit: it does not, and why.
        CouldNotLook: it, or what it is to fit, cannot be read.
    """
    from nnunetv2_lwi.jobs.fit import check_for

    try:
        target = read_target(arguments.dataset, arguments.plans_name, arguments.configuration, arguments.fold)
        check_for(arguments.checkpoint, target)
    except DoesNotFit:
        raise
    except UserError as error:
        raise CouldNotLook(error.reason) from error
