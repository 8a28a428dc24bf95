"""A disk that is full when a checkpoint is written: one line, the checkpoint that stands, and a run that goes on."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nnunetv2_lwi.handover.checkpoint import read_checkpoint
from tests.faults.killable import STEP1, STEP2, Ended, Job, Training, folder_of, start_server
from tests.faults.test_kills import require_nothing_left_over, require_same_as_uninterrupted
from tests.faults.uninterrupted import Trainings, final_checkpoint, make_trainings, require_success

SECONDS_TO_A_WRITE = 120.0


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    """Seeded, in one process."""
    start_server()
    return make_trainings(tmp_path_factory.mktemp("full"), workers=0)


def checkpoint_size(trainings: Trainings, trainer: str) -> int:
    return (folder_of(trainings.uninterrupted(trainer)) / "checkpoint_final.pth").stat().st_size


def begun(job: Job) -> Job:
    """The same training with a checkpoint of its first epoch, killed right after."""
    training = Training(replace(job, halt_at=(1, "moved into place")))
    assert training.halts(SECONDS_TO_A_WRITE)
    training.kill(signal.SIGKILL)
    training.wait()
    return replace(job, resume=True)


def require_one_line(ended: Ended, reason: str) -> None:
    assert ended.exit_code == 1, ended.output
    last = ended.output.strip().splitlines()[-1]
    assert last.startswith("nnunetv2_lwi: ") and f"could not be written: {reason}" in last and "MiB free" in last
    assert "Traceback" not in ended.output


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if "checkpoint" in path.name}


@pytest.mark.parametrize("trainer", [STEP1, STEP2])
def test_a_checkpoint_that_does_not_fit_leaves_the_old_one(trainings: Trainings, trainer: str):
    """The system lets the process write no file as large as a checkpoint."""
    job = begun(trainings.job(trainer))
    before = contents(folder_of(job))
    limited = replace(job, largest_file=checkpoint_size(trainings, trainer) // 2)
    require_one_line(Training(limited).wait(), "File too large")
    assert contents(folder_of(job)) == before and before
    require_success(Training(job).wait())
    require_same_as_uninterrupted(trainings, job)
    require_nothing_left_over(job)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs; skipped where this user may not mount one."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "lwi", tmp_path], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_full_disk_is_told_first_and_the_training_goes_on_when_it_is_emptied(trainings: Trainings, small_disk: Path):
    elsewhere = trainings.job(STEP1)
    job = begun(replace(elsewhere, results=small_disk / "results"))
    ballast = small_disk / "ballast"
    room = checkpoint_size(trainings, STEP1) // 2
    with ballast.open("wb") as file:
        free = int(
            subprocess.run(["df", "-B1", "--output=avail", small_disk], capture_output=True, check=True).stdout.split()[-1]
        )
        file.write(bytes(free - room))
    ended = Training(job).wait()
    last = ended.output.strip().splitlines()[-1]
    assert ended.exit_code == 1 and "Traceback" not in ended.output
    assert re.match(r"nnunetv2_lwi: .* has \d+ MiB free, and its checkpoints need about \d+ MiB: make room", last)
    assert read_checkpoint(folder_of(job) / "checkpoint_best.pth")["current_epoch"] == 1
    ballast.unlink()
    require_success(Training(job).wait())
    assert final_checkpoint(job)["current_epoch"] == trainings.epochs
    require_same_as_uninterrupted(trainings, job)


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Iterator[Path]:
    """Read-only for root too: a bind mount; skipped where this user may not make one."""
    command = ["mount", "--bind", "-o", "ro", tmp_path, tmp_path]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a folder cannot be mounted read-only: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_read_only_folder_is_told_before_any_work(trainings: Trainings, read_only_folder: Path):
    job = replace(trainings.job(STEP1), results=read_only_folder)
    ended = Training(job).wait()
    assert ended.exit_code == 1
    expected = f"nnunetv2_lwi: Nothing can be written to {folder_of(job)}: Read-only file system ({read_only_folder})"
    assert expected in ended.output.splitlines()[-1]
    assert "Traceback" not in ended.output and "Using device" not in ended.output
