"""``python -m benchmarks [-device cpu|cuda] [--output FOLDER]``."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path

import torch

from benchmarks.networks import compare_networks
from benchmarks.report import describe_machine, write_report
from benchmarks.steps import compare_memory, compare_steps, prepare
from benchmarks.transformation import compare_transformation


def main() -> None:
    """Measure, print the table and say where it was written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("-device", default=default, choices=("cpu", "cuda"), help="(default here: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path(".work/bench"), help="(default: %(default)s)")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.set_num_threads(os.cpu_count() or 1)
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    folders = {name: (arguments.output / name).resolve() for name in names}
    os.environ |= {name: str(folder) for name, folder in folders.items()}
    print("Preparing a generated data set ...", flush=True)
    prepare(folders)
    with open(arguments.output / "nnunet.log", "w") as log, contextlib.redirect_stdout(log):
        comparisons = compare_transformation(device) + compare_memory(device) + compare_steps(device)
        comparisons += compare_networks(device)
    left_out = [] if device.type == "cuda" else ["everything on a GPU: this machine has none, or -device cpu was given"]
    print(write_report(arguments.output, describe_machine(device), comparisons, left_out))
    print(f"Written to {arguments.output}/benchmark.json and benchmark.md")


if __name__ == "__main__":
    main()
