"""``python -m benchmarks gpu [--seconds N] [--only NAME[,NAME]] [--dataset FOLDER] [--output FOLDER]``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu.checks import CHECKS
from benchmarks.gpu.journal import Journal
from benchmarks.gpu.runner import Place, run_all
from benchmarks.modes import own_folders
from nnunetv2_lwi.errors import UserError

SECONDS = 480.0


def main(words: Sequence[str]) -> int:
    """Run the checks and say where their figures are; the exit code tells whether one failed.

    Raises:
        UserError: there is no such check, or no such data set.
    """
    arguments = parse(words)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    output: Path = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    own_folders(output)
    os.environ.setdefault("nnUNet_compile", "f")
    if device == "cpu":
        print("torch finds no GPU here: what can run runs on the CPU, small, and shows that the checks themselves work.")
    journal = Journal(output / "gpu.jsonl")
    checks = [check for check in CHECKS if arguments.only is None or check.name in arguments.only]
    failures = run_all(checks, Place(device, output, arguments.dataset), journal, arguments.seconds)
    print(f"{failures} of {len(checks)} checks failed. Figures: {journal.path}; what nnU-Net said: {output / 'nnunet.log'}")
    return int(failures > 0)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Raises:
    UserError: there is no such check, or no such data set.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="what does not fit in is left out (default: %(default)s)"
    )
    names = [check.name for check in CHECKS]
    parser.add_argument("--only", metavar="NAME[,NAME]", type=lambda text: text.split(","), help=f"of {', '.join(names)}")
    parser.add_argument("--dataset", type=Path, help="a data set in nnU-Net's raw format, whose plan is measured too")
    parser.add_argument("--output", type=Path, default=Path(".work/gpu"), help="(default: %(default)s)")
    arguments = parser.parse_args(words)
    unknown = [name for name in arguments.only or [] if name not in names]
    if unknown:
        raise UserError(f"--only {','.join(unknown)}: there is no such check. Checks: {', '.join(names)}.")
    if arguments.dataset is not None and not (arguments.dataset / "dataset.json").is_file():
        raise UserError(f"--dataset {arguments.dataset}: there is no dataset.json in it.")
    return arguments
