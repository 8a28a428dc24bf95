"""One folder, one writer: seen between processes, for within one the same may write twice."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.one_writer import LOCK, OWNER, OneWriter, in_turn, require_no_writer
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg

HOLD = """
import sys, time, multiprocessing
from pathlib import Path
from nnunetv2_lwi.one_writer import OneWriter
fork = multiprocessing.get_context("fork")

def work(started):
    started.set()
    time.sleep(60)

writer = OneWriter(Path(sys.argv[1]))
assert writer.acquire()
started = fork.Event()
worker = fork.Process(target=work, args=(started,))   # as a loader's worker is started
worker.start()
started.wait()
print(worker.pid, flush=True)
time.sleep(60)
"""


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """That writes to the folder, with a worker that outlives it."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        yield process
        process.kill()
        os.kill(worker, signal.SIGKILL)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with another_process(tmp_path) as process:
        yield process


def test_a_writer_that_was_just_killed_is_waited_for_and_a_living_one_is_not(tmp_path, other):
    started = time.monotonic()
    with pytest.raises(UserError):
        OneWriter(tmp_path).acquire()
    assert time.monotonic() - started < 5
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    text = (tmp_path / OWNER).read_text()
    (tmp_path / OWNER).write_text(text.replace(str(other.pid), str(gone.pid)))
    Timer(1.0, other.kill).start()
    writer = OneWriter(tmp_path)
    assert writer.acquire()
    writer.release()


def test_a_second_process_is_told_who_the_first_is(tmp_path, other):
    for act in (OneWriter(tmp_path).acquire, lambda: require_no_writer(tmp_path)):
        with pytest.raises(UserError) as error:
            act()
        assert f"{tmp_path} is being written to by another training (process {other.pid} on " in error.value.message
        assert "run the same command with --c" in error.value.message


def test_a_process_that_was_killed_blocks_nobody_though_its_workers_live_on(tmp_path, other):
    other.kill()
    other.wait()
    require_no_writer(tmp_path)
    writer = OneWriter(tmp_path)
    assert writer.acquire()
    writer.release()
    assert not writer.owner.exists()


def test_within_a_process_the_same_right_may_be_had_twice(tmp_path):
    one, other = OneWriter(tmp_path), OneWriter(tmp_path)
    assert one.acquire() and one.acquire() and other.acquire()
    one.release()
    other.release()
    other.release()
    require_no_writer(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_where_the_file_system_has_no_locks_nothing_is_refused(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for _ in range(2):
        assert not OneWriter(tmp_path).acquire(), "and nothing goes stale"
    require_no_writer(tmp_path)
    with in_turn(tmp_path / "report.lock"):
        """Nobody is waited for."""


def test_a_training_takes_the_right_and_leaves_it(dataset, monkeypatch):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"})
    held = []
    folder = Path(trainer.output_folder)
    monkeypatch.setattr(trainer, "on_train_epoch_start", lambda: held.append(trainer.writer.owner.read_text()))
    trainer.run_training()
    assert held and f"process {os.getpid()} on" in held[0]
    assert not trainer.writer.owner.exists() and (folder / LOCK).exists()


def test_a_training_beside_another_ends_before_it_writes(dataset):
    folder = dataset.output_folder("nnUNetTrainerLWISeg")
    folder.mkdir(parents=True)
    with another_process(folder):
        with pytest.raises(UserError, match="is being written to by another training"):
            dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"})
        assert sorted(path.name for path in folder.iterdir()) == sorted([LOCK, OneWriter(folder).owner.name])


def test_to_write_beside_a_training_does_not_give_its_right_away(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"})
    trainer.on_train_start()
    with trainer.writing():
        assert trainer.writer.held
    assert trainer.writer.held
    trainer.writer.release()
    with trainer.writing():
        assert trainer.writer.held
    assert not trainer.writer.held
