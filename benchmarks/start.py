"""``python -m benchmarks start DATASET``: in a training that is cut short, does a learned start end behind a random one?

nnU-Net's own plan with batch size 2 and its own SGD, 4 epochs of 60 iterations in each step, fold 0. A start that keeps
step 2 from learning, as the whole network of step 1 does in so short a training, shows here; small gains do not.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.datasets import GivenDataset, prepare
from benchmarks.modes import own_folders
from nnunetv2_lwi.comparison.arms import RANDOM
from nnunetv2_lwi.comparison.results import AVERAGE
from nnunetv2_lwi.demonstration.place import check_dataset
from nnunetv2_lwi.nnunet.commands import nnunet_environment, run_command, shell_line, stock_command
from nnunetv2_lwi.training.machine.devices import require_device

LEARNED = "lwi"
SETTINGS: dict[str, int] = {
    "batch_size": 2,
    "lwi.init.epochs": 4,
    "lwi.seg.epochs": 4,
    "lwi.iterations_per_epoch": 60,
    "lwi.val_iterations_per_epoch": 10,
}
"""Of nnU-Net's own plan; what they leave open is today's default."""


def main(words: Sequence[str]) -> int:
    """Train both ways by ``nnUNetv2_lwi compare`` and print by how much they differ. 1 where the learned start ends behind.

    The same command goes on with what is there.

    Raises:
        UserError: the data set cannot be used.
    """
    arguments = parse(words)
    output: Path = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    own_folders(output)
    dataset = GivenDataset(arguments.dataset.resolve())
    prepare(dataset)
    command = compare_command(dataset, output / "comparison", arguments)
    print(shell_line(command), flush=True)
    if code := run_command(command, nnunet_environment(nnUNet_compile=os.environ.get("nnUNet_compile", "f"))):
        return code
    return judge(output / "comparison" / "comparison.csv")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Raises:
    UserError: nnU-Net could not use the data set, or there is no such device.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks start")
    parser.add_argument("dataset", type=Path, help="in nnU-Net's raw format, only read")
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("-device", default=default, choices=("cpu", "cuda"), help="(default here: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path(".work/start"), help="(default: %(default)s)")
    arguments = parser.parse_args(words)
    check_dataset(arguments.dataset)
    require_device(torch.device(arguments.device))
    return arguments


def compare_command(dataset: GivenDataset, folder: Path, arguments: argparse.Namespace) -> list[str]:
    """As a user would type it."""
    what = ["-d", str(dataset.number), "-c", "3d_fullres", "-p", "nnUNetPlans", "-f", "0", "-device", arguments.device]
    how = ["--arms", f"{RANDOM},{LEARNED}", "--seeds", str(arguments.seeds), "--budget", "added", "-o", str(folder)]
    values = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    return stock_command("nnUNetv2_lwi", "compare", *what, *how, *values)


def judge(path: Path) -> int:
    """Print both starts' Dice, mean over cases and seeds, by what was scored; 1 if the learned one's first is lower."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name.endswith(f"_Dice_{AVERAGE}")]
    differences = [_print_difference(rows, column) for column in columns]
    return int(differences[0] < 0)


def _print_difference(rows: Sequence[Mapping[str, str]], column: str) -> float:
    random, learned = (fmean(float(row[column]) for row in rows if row["arm"] == arm) for arm in (RANDOM, LEARNED))
    cases = column.removesuffix(f"_Dice_{AVERAGE}").replace("_", ", ")
    print(f"Dice, {cases}: {RANDOM} {100 * random:.1f}, {LEARNED} {100 * learned:.1f}, {100 * (learned - random):+.1f}")
    return learned - random
