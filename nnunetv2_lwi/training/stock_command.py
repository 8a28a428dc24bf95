"""What nnU-Net's own ``nnUNetv2_train`` does with a user's words before or without asking the trainer.

It opens the plans file before it makes the trainer, and unpickles the file of ``-pretrained_weights`` and asserts that it
fits without telling the trainer its name: mistakes there end in a traceback. The trainers therefore look at the command
line, if it is that command's, and only to refuse in one line what nnU-Net would stop at later.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from torch import nn

from nnunetv2_lwi.checkpoint import read_checkpoint
from nnunetv2_lwi.cli.target import find_target
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover import misfits, shortened

SCRIPTS = ("nnUNetv2_train", "run_training")
"""The console script, and nnU-Net's module run with ``python -m``."""


class _Unreadable(Exception):
    """The words are none that this version of nnU-Net's command takes."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Unreadable(message)


def read_command(argv: list[str]) -> argparse.Namespace | None:
    """The arguments of ``nnUNetv2_train``; None if this process runs something else, or words that are not known here."""
    if not Path(argv[0]).name.startswith(SCRIPTS):
        return None
    parser = _Parser(add_help=False)
    for name in ("dataset", "configuration", "fold"):
        parser.add_argument(name)
    for name, default in (("-tr", None), ("-p", "nnUNetPlans"), ("-pretrained_weights", None), ("-num_gpus", "1")):
        parser.add_argument(name, default=default)
    parser.add_argument("-device")
    for name in ("--npz", "--c", "--val", "--val_best", "--disable_checkpointing"):
        parser.add_argument(name, action="store_true")
    try:
        return parser.parse_args(argv[1:])
    except _Unreadable:
        return None


def require_readable_target() -> None:
    """Raises:
    UserError: nnU-Net's folders are not set, or the data set, its plans or its dataset.json cannot be found or read.
    """
    command = read_command(sys.argv)
    if command is not None:
        find_target(command.dataset, command.p, command.configuration, command.fold)


def given_weights() -> Path | None:
    """The file of ``-pretrained_weights``, if this process was given one."""
    command = read_command(sys.argv)
    return None if command is None or command.pretrained_weights is None else Path(command.pretrained_weights)


def require_fitting_weights(network: nn.Module) -> None:
    """Check the file of ``-pretrained_weights``, if one was given, before nnU-Net unpickles it.

    Args:
        network: as built from the plan; its weights are not read.

    Raises:
        UserError: the file cannot be read without unpickling, or does not fit the network, output layers aside.
    """
    path = given_weights()
    if path is None:
        return
    problems = misfits(read_checkpoint(path)["network_weights"], network)
    if problems:
        raise UserError(f"-pretrained_weights {path} does not fit the network of this plan: {shortened(problems)}.")
