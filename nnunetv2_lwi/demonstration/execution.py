"""One command of the demo: its output into a log, the telling lines of it onto the screen."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from nnunetv2_lwi.demonstration.place import Demo
from nnunetv2_lwi.demonstration.stages import Stage
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.commands import nnunet_environment, shell_line, tied_to_this_process

LINES_OF_A_FAILURE = 20
SECONDS_BETWEEN_LOOKS = 0.2
NOISE = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+: |np\.float\d+(?=\()")
"""Time stamps, and numpy's names in front of its numbers."""
TELLING = ("order accuracy", "Pseudo dice", "Start: ", "Mean Validation Dice")
"""How the lines of nnU-Net's output begin that are shown while it runs."""


def run_stage(demo: Demo, number: int, stage: Stage) -> None:
    """Say what is run, run it with its output in a log, and say how long it took.

    Raises:
        UserError: the command failed; the end of its output is printed before.
    """
    log = demo.folder / "logs" / f"{number}_{stage.name}.log"
    print(f"{number}. {stage.purpose}\n\n    {shell_line(stage.command)}\n", flush=True)
    started = time.monotonic()
    environment = nnunet_environment(**demo.variables, PYTHONUNBUFFERED="1")
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            tied_to_this_process(stage.command), env=environment, stdout=sink, stderr=subprocess.STDOUT
        ) as process,
    ):
        for line in follow(process, log):
            show_if_telling(line)
    if process.returncode != 0:
        print("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_OF_A_FAILURE:]))
        raise UserError(f"{Path(stage.command[0]).name} ended with exit code {process.returncode}; its output is in {log}.")
    print(f"   done in {readable(time.monotonic() - started)}, output in {log}\n", flush=True)


def follow(process: subprocess.Popen[bytes], log: Path) -> Iterator[str]:
    """The lines of a log as they are written, until the process ends.

    A pipe would not do: workers that outlive a killed nnU-Net keep it open, and reading it would wait for them.
    """
    rest = ""
    with log.open(encoding="utf-8", errors="replace") as source:
        running = True
        while running:
            running = process.poll() is None
            *lines, rest = (rest + source.read()).split("\n")
            yield from lines
            if running:
                time.sleep(SECONDS_BETWEEN_LOOKS)
    yield rest


def show_if_telling(line: str) -> None:
    """Print a line of nnU-Net's output that says how training goes."""
    text = NOISE.sub("", line).strip()
    if text.startswith(TELLING):
        print(f"   {text}", flush=True)


def readable(seconds: float) -> str:
    """A duration in words: 75 becomes 1 min 15 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
