"""``python -m benchmarks [-device cpu|cuda] [--only NAME[,NAME]] [--output FOLDER]``; or ``gpu``, or ``start``."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.augmentation import compare_augmentation
from benchmarks.gpu.command import main as check_gpu
from benchmarks.loading import compare_loading
from benchmarks.loops import compare_loops
from benchmarks.measure import Findings
from benchmarks.memory import compare_memory
from benchmarks.modes import as_nnunetv2_train, own_folders
from benchmarks.networks import compare_networks
from benchmarks.precision import compare_precisions
from benchmarks.profiling import profile_iterations
from benchmarks.report import describe_machine, write_report
from benchmarks.scans import compare_scans
from benchmarks.start import main as compare_starts
from benchmarks.startup import measure_startup
from benchmarks.steps import compare_steps
from benchmarks.transformation import compare_transformation
from nnunetv2_lwi.errors import UserError

SECTIONS: dict[str, Callable[[torch.device], Findings]] = {
    "startup": measure_startup,
    "transformation": compare_transformation,
    "memory": compare_memory,
    "iterations": compare_steps,
    "loading": compare_loading,
    "scans": compare_scans,
    "augmentation": compare_augmentation,
    "networks": compare_networks,
    "profile": profile_iterations,
    "loops2": partial(compare_loops, workers=2),
    "loops4": partial(compare_loops, workers=4),
    "loops8": partial(compare_loops, workers=8),
    "precision": compare_precisions,
}
"""By the name that ``--only`` takes, in order. A section that the device does not allow says so in ``left_out``."""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Device, sections and where to write.

    Raises:
        UserError: there is no such section, or no such device.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("-device", default=default, choices=("cpu", "cuda"), help="(default here: %(default)s)")
    parser.add_argument("--only", metavar="NAME[,NAME]", default=",".join(SECTIONS), help="of %(default)s")
    parser.add_argument("--output", type=Path, default=Path(".work/bench"), help="(default: %(default)s)")
    arguments = parser.parse_args(words)
    arguments.sections = [name for name in SECTIONS if name in arguments.only.split(",")]
    unknown = [name for name in arguments.only.split(",") if name not in SECTIONS]
    if unknown:
        raise UserError(f"--only {','.join(unknown)}: there is no such section. Sections: {', '.join(SECTIONS)}.")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise UserError("-device cuda: torch finds no GPU here. Leave it out to measure on the CPU.")
    return arguments


def main(words: Sequence[str]) -> None:
    """Measure, print the tables and say where they were written."""
    arguments = parse(words)
    device = torch.device(arguments.device)
    as_nnunetv2_train(device)
    output: Path = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    own_folders(output)
    unwanted = [name for name in SECTIONS if name not in arguments.sections]
    findings = Findings(left_out=[f"{', '.join(unwanted)}: not in --only"] if unwanted else [])
    with open(output / "nnunet.log", "w") as log:
        for name in arguments.sections:
            print(f"{time.strftime('%H:%M:%S')} {name} ...", flush=True)
            with contextlib.redirect_stdout(log):
                findings.add(SECTIONS[name](device))
            text = write_report(output, describe_machine(device), findings)
    print(text)
    print(f"Written to {arguments.output}/benchmark.json and benchmark.md")


if __name__ == "__main__":
    others = {"gpu": check_gpu, "start": compare_starts}
    if sys.argv[1:2] and sys.argv[1] in others:
        sys.exit(others[sys.argv[1]](sys.argv[2:]))
    main(sys.argv[1:])
