"""What a trainer has to know of the words that ``nnUNetv2_train`` was called with.

nnU-Net loads the file of ``-pretrained_weights`` into the network without telling the trainer its name, and unpickles it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SCRIPTS = ("nnUNetv2_train", "run_training")
"""The console script, and nnU-Net's module run with ``python -m``."""
OTHERS_WITH_VALUE = ("-num_gpus", "-device")
"""Known, so that what follows them does not pass for the data set."""


class GivenNames(NamedTuple):
    """What a training is asked for by."""

    dataset: str
    """Name or id."""
    plans: str


def given_weights() -> Path | None:
    """The file of ``-pretrained_weights``, if this process is nnU-Net's command and was given one."""
    words = _words()
    path: Path | None = None if words is None else words.pretrained_weights
    return path


def given_names() -> GivenNames | None:
    """Data set and plans, if this process is nnU-Net's command."""
    words = _words()
    return None if words is None or words.dataset is None else GivenNames(words.dataset, words.p)


def begins_anew() -> bool:
    """Whether this process is nnU-Net's command and starts a training from its first epoch."""
    words = _words()
    return words is not None and not (words.c or words.val)


def parse_training(words: Sequence[str]) -> argparse.Namespace:
    """What stands behind ``nnUNetv2_train``: dataset, configuration, fold, tr, p, pretrained_weights, c, val, npz."""
    parser = argparse.ArgumentParser(add_help=False)
    for position in ("dataset", "configuration", "fold"):
        parser.add_argument(position, nargs="?")
    parser.add_argument("-p", default="nnUNetPlans")
    parser.add_argument("-tr", default="nnUNetTrainer")
    parser.add_argument("-pretrained_weights", type=Path)
    for flag in ("--c", "--val", "--npz"):
        parser.add_argument(flag, action="store_true")
    for option in OTHERS_WITH_VALUE:
        parser.add_argument(option)
    return parser.parse_known_args(words)[0]


def _words() -> argparse.Namespace | None:
    return parse_training(sys.argv[1:]) if Path(sys.argv[0]).name.startswith(SCRIPTS) else None
