"""The checks one after the other, in a process that is begun anew where one of them spoils it, and within a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.journal import FAILED, LEFT_OUT, OK, Journal
from benchmarks.modes import as_nnunetv2_train
from nnunetv2_lwi.nnunet.commands import end_with_parent

TIMES_AS_LONG, AT_LEAST = 3, 60.0
"""As its estimate, a check may take before it counts as hanging; seconds, for those that take hardly any."""

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where checks work.

    Attributes:
        dataset: the user's own data set in nnU-Net's raw format, if there is one.
    """

    device: str
    output: Path
    dataset: Path | None = None

    @property
    def torch_device(self) -> torch.device:
        """As torch has it."""
        return torch.device(self.device)

    @property
    def has_gpu(self) -> bool:
        """Else a check does what it can on the CPU."""
        return self.device == "cuda"


@dataclass(frozen=True)
class Check:
    """Something that is shown by running it.

    Attributes:
        run: yields figures as they come; an exception says what is wrong.
        seconds: about how long it takes on a GPU.
        on_cpu: whether it shows anything without one.
    """

    name: str
    run: Callable[[Place], Iterator[Figures]]
    seconds: float
    on_cpu: bool = False


class Worker:
    """A process that runs one check after the other, until one of them spoils it."""

    def __init__(self, place: Place, journal: Journal) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, place, journal))
        self.process.start()
        theirs.close()

    def run(self, check: Check, seconds: float) -> str | None:
        """What went wrong, if anything."""
        self.connection.send(check)
        try:
            if not self.connection.poll(seconds):
                return f"not done after {seconds:.0f} s"
            reason: str | None = self.connection.recv()
        except EOFError:
            return "its process died"
        return reason

    def end(self) -> None:
        """At once."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def run_all(checks: Sequence[Check], place: Place, journal: Journal, seconds: float) -> int:
    """In their order, as far as the time goes; returns how many failed."""
    end = time.monotonic() + seconds
    failures = 0
    worker: Worker | None = None
    for check in checks:
        left = end - time.monotonic()
        if not (check.on_cpu or place.has_gpu):
            journal.add(check.name, LEFT_OUT, {"reason": "it needs a GPU"})
        elif left < check.seconds:
            journal.add(check.name, LEFT_OUT, {"reason": f"it takes about {check.seconds:.0f} s, and {left:.0f} s are left"})
        else:
            worker = worker or Worker(place, journal)
            reason = worker.run(check, min(left, max(AT_LEAST, TIMES_AS_LONG * check.seconds)))
            if reason is not None:
                failures += 1
                journal.add(check.name, FAILED, {"reason": reason})
                worker.end()  # a GPU may refuse all that follows in the same process
                worker = None
    if worker is not None:
        worker.end()
    return failures


def serve(connection: Connection, place: Place, journal: Journal) -> None:
    """In the worker's process: answer each check with what went wrong, or None."""
    end_with_parent()
    as_nnunetv2_train(place.torch_device)
    while True:
        check: Check = connection.recv()
        connection.send(run_here(check, place, journal))


def run_here(check: Check, place: Place, journal: Journal) -> str | None:
    """Run a check and note its figures; what nnU-Net prints goes to a log. Returns what went wrong."""
    started = time.monotonic()
    with open(place.output / "nnunet.log", "a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        try:
            for figures in check.run(place):
                journal.add(check.name, OK, {"seconds": time.monotonic() - started, **figures})
        except (Exception, SystemExit) as error:
            traceback.print_exc(file=log)
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return None
