"""How long it takes until a user sees something: the package's import and the command's help, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import torch

from benchmarks.measure import Findings, Spread, Table, time_rounds

COMMANDS = {
    "python alone": ["-c", "pass"],
    "import nnunetv2_lwi": ["-c", "import nnunetv2_lwi"],
    "nnUNetv2_lwi --help": ["-m", "nnunetv2_lwi.cli.main", "--help"],
}
GOALS = {"import nnunetv2_lwi": "50 ms more than python alone", "nnUNetv2_lwi --help": "300 ms"}
REPEATS = 9


def measure_startup(device: torch.device) -> Findings:
    """Milliseconds from start to end, turn and turn about."""
    processes = {name: partial(run, words) for name, words in COMMANDS.items()}
    rounds = time_rounds(processes, repeats=REPEATS)
    rows = [(name, f"{Spread.of(times)} ms", GOALS.get(name, "")) for name, times in rounds.items()]
    return Findings(tables=[Table("Start-up", ("what", "time", "goal, at most"), rows)])


def run(words: list[str]) -> None:
    """One process."""
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
