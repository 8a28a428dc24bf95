"""What came of each check, printed and written as it comes: a run that is cut keeps what it had."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

OK, FAILED, LEFT_OUT = "ok", "FAILED", "left out"


class Journal(NamedTuple):
    """JSON lines in a file."""

    path: Path

    def add(self, check: str, outcome: str, figures: Mapping[str, Any]) -> None:
        """One line on the screen, and one in the file that is on the disk when this returns."""
        entry = {"time": time.strftime("%Y-%m-%d %H:%M:%S"), "check": check, "outcome": outcome, **figures}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())
        screen = sys.__stdout__ or sys.stdout
        print(f"{entry['time'][11:]} {check}: {outcome}; {described(figures)}", file=screen, flush=True)

    def entries(self) -> list[dict[str, Any]]:
        """What was written."""
        return (
            [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()] if self.path.is_file() else []
        )


def described(figures: Mapping[str, Any]) -> str:
    """In words: numbers to three digits."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    )
