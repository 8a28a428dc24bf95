"""What a trainer has to know of the words that ``nnUNetv2_train`` was called with.

nnU-Net loads the file of ``-pretrained_weights`` into the network without telling the trainer its name, and unpickles it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

SCRIPTS = ("nnUNetv2_train", "run_training")
"""The console script, and nnU-Net's module run with ``python -m``."""


def given_weights() -> Path | None:
    """The file of ``-pretrained_weights``, if this process is nnU-Net's command and was given one."""
    if not Path(sys.argv[0]).name.startswith(SCRIPTS):
        return None
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-p")  # else it would pass for an abbreviation
    parser.add_argument("-pretrained_weights", type=Path)
    path: Path | None = parser.parse_known_args(sys.argv[1:])[0].pretrained_weights
    return path
