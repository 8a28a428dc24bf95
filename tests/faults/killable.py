"""Real training processes that can be stopped, and killed, at a chosen point of writing a checkpoint.

The fork server imports torch and nnU-Net once; every training is a process forked from it that runs nnU-Net's own
``run_training``.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from nnunetv2.run import run_training
from nnunetv2.training.logging.nnunet_logger import MetaLogger

from nnunetv2_lwi.training import nnUNetTrainerLWIInit as step1
from nnunetv2_lwi.training import resumable
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import NAME

TRAINERS: dict[str, Any] = {trainer.__name__: trainer for trainer in (nnUNetTrainerLWIInit, nnUNetTrainerLWISeg)}
STEP1, STEP2 = TRAINERS
STAGES = ("half written", "written", "moved into place")
LONGEST_SECONDS = 300

_processes = get_context("forkserver")
_processes.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Job:
    """What a training process does.

    Attributes:
        resume: nnU-Net's ``--c``.
        workers: nnUNet_n_proc_DA.
        largest_file: what the system lets the process write into one file, in bytes.
        halt_at: stop in the n-th checkpoint that this process writes, at one of :data:`STAGES`.
    """

    trainer: str
    preprocessed: Path
    results: Path
    output: Path
    resume: bool = False
    workers: int = 0
    largest_file: int | None = None
    halt_at: tuple[int, str] | None = None


@dataclass(frozen=True)
class Ended:
    """How a training process ended.

    Attributes:
        exit_code: 0, or minus the signal that killed it.
        output: what it printed.
        orphans: whether its augmentation workers lived on.
    """

    exit_code: int
    output: str
    orphans: bool


class Training:
    """A process that trains; to be ended with :meth:`wait` or :meth:`kill`."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.connection, theirs = _processes.Pipe()
        self.process = _processes.Process(target=train, args=(job, theirs))
        self.process.start()
        theirs.close()

    def halts(self, seconds: float) -> bool:
        """Whether it halts, or else ends, within some seconds; False also where neither happens."""
        try:
            return self.connection.poll(seconds) and bool(self.connection.recv())
        except EOFError:
            return False

    def kill(self, number: signal.Signals) -> None:
        """Send a signal, as the system or a user would: to this one process."""
        assert self.process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def wait(self) -> Ended:
        """The end of the process; then its augmentation workers are ended, which nobody else does after a kill."""
        self.process.join(LONGEST_SECONDS)
        assert self.process.exitcode is not None and self.process.pid is not None, self.job.output.read_text()
        orphans = True
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            orphans = False
        self.connection.close()
        return Ended(self.process.exitcode, self.job.output.read_text(), orphans)


def start_server() -> None:
    """Have everything imported, so that times are those of the trainings."""
    process = _processes.Process(target=nothing)
    process.start()
    process.join(LONGEST_SECONDS)


def train(job: Job, connection: Connection) -> None:
    """Train in this process, as nnUNetv2_train does, with a ``checkpoint_latest`` after every epoch and no pictures."""
    os.setsid()
    set_start_method(
        "fork", force=True
    )  # nnU-Net's augmentation workers; a process from the fork server would start another
    redirect_output(job.output)
    os.environ |= {
        "nnUNet_preprocessed": str(job.preprocessed),
        "nnUNet_results": str(job.results),
        "nnUNet_n_proc_DA": str(job.workers),
        "nnUNet_compile": "f",
    }
    torch.set_num_threads(1)
    resumable.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    MetaLogger.plot_progress_png = nothing
    step1.write_progress_picture = nothing
    for trainer in TRAINERS.values():
        trainer.perform_actual_validation = nothing
    run_training.recursive_find_trainer_class_by_name = TRAINERS.__getitem__
    if job.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest_file, job.largest_file))
    if job.halt_at is not None:
        halt_in_write(*job.halt_at, halt=partial(halt, connection))
    run_training.run_training(NAME, "3d_fullres", 0, job.trainer, continue_training=job.resume, device=torch.device("cpu"))


def nothing(*args: Any, **kwargs: Any) -> None:
    """Neither pictures nor the validation after the training are what is tested."""


def redirect_output(path: Path) -> None:
    """Everything that the process prints goes to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def halt(connection: Connection) -> None:
    """Tell the test, and wait to be killed."""
    connection.send(True)
    connection.recv()


def halt_in_write(number: int, stage: str, halt: Callable[[], None]) -> None:
    """Let the n-th checkpoint of this process not get beyond a stage."""
    write, save, replace = resumable.write_checkpoint, torch.save, os.replace
    written = 0

    def save_half(content: Any, file: Any) -> None:
        buffer = BytesIO()
        save(content, buffer)
        file.write(buffer.getvalue()[: buffer.tell() // 2])
        file.flush()
        halt()

    def replace_and_halt(source: str, target: Path) -> None:
        if stage == "moved into place":
            replace(source, target)
        halt()

    def count(checkpoint: Any, path: Any) -> None:
        nonlocal written
        written += 1
        if written == number:
            if stage == "half written":
                torch.save = save_half
            else:
                os.replace = replace_and_halt  # type: ignore[assignment]
        write(checkpoint, path)

    resumable.write_checkpoint = count


def folder_of(job: Job) -> Path:
    """Where a job's trainer writes."""
    return job.results / NAME / f"{job.trainer}__nnUNetPlans__3d_fullres" / "fold_0"
