"""One folder, one writer: a second job that is started on a training's folder ends with one line.

The operating system frees the lock of a process that ended, however it ended, so that no lock ever goes stale. The lock's
file stays behind, empty: one that is removed may be locked twice.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from nnunetv2_lwi.errors import HasAWriter

LOCK = ".writer.lock"
OWNER = ".writer.txt"
"""Beside the lock: who has it."""


WRITER = re.compile(r"process (\d+) on (\S+), since (.*)")
SECONDS_OF_DYING = 10.0
"""After which a lock whose owner is dead is taken to be another's."""


class OneWriter:
    """The right to write to a folder; within one process, who has it may have it again.

    Args:
        folder: where a training writes.
        name: of the lock's file in it.
        kind: what writes there, in a word.
        again: what a second writer is told to do in the end.
    """

    def __init__(
        self, folder: Path, name: str = LOCK, kind: str = "training", again: str = "run the same command with --c"
    ) -> None:
        self.folder = folder
        self.path = folder / name
        self.kind, self.again = kind, again
        self.owner = self.path.with_suffix(".txt")
        """Says who has the right."""
        self._lock: BaseFileLock | None = None

    @property
    def held(self) -> bool:
        """Whether this has it."""
        return self._lock is not None

    def acquire(self) -> bool:
        """Take it, or have it already.

        Returns:
            False where the file system has no locks: nothing is known then of other writers.

        Raises:
            HasAWriter: another process has it.
        """
        if self.held:
            return True
        lock = FileLock(self.path, blocking=False, is_singleton=True)
        try:
            self._acquire(lock)
        except Timeout as error:
            raise HasAWriter(
                f"{self.folder} is being written to by another {self.kind}{self._who()}: wait until it ends, or end it, and "
                f"{self.again}."
            ) from error
        except (OSError, NotImplementedError):  # the latter is what filelock makes of a missing flock
            return False
        if isinstance(lock, SoftFileLock):
            lock.release()
            return False
        self._lock = lock
        with contextlib.suppress(OSError):
            since = f"{datetime.now():%Y-%m-%d %H:%M}"
            self.owner.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {since}", "utf-8")
        return True

    def _acquire(self, lock: BaseFileLock) -> None:
        """At once; from a writer that was just killed, as soon as the system has freed what it had begun to start.

        A process that it was starting has its files open until it begins.
        """
        until = time.monotonic() + SECONDS_OF_DYING
        while True:
            try:
                lock.acquire()
                return
            except Timeout:
                if not (is_dead(self._owner()) and time.monotonic() < until):
                    raise
            time.sleep(0.1)

    def release(self) -> None:
        """Leave it to others."""
        if self._lock is None:
            return
        self.owner.unlink(missing_ok=True)
        self._lock.release()
        self._lock = None

    def _who(self) -> str:
        owner = self._owner()
        return f" ({owner})" if owner else ""

    def _owner(self) -> str:
        try:
            return self.owner.read_text("utf-8")
        except OSError:
            return ""


def is_dead(owner: str) -> bool:
    """Whether who has a lock, as its file says, is a process of this machine that is no more."""
    match = WRITER.fullmatch(owner.strip())
    if match is None or match[2] != socket.gethostname():
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@contextlib.contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Wait until no other process is within such a block; where the file system has no locks, do not.

    Args:
        path: of the lock's file.
    """
    lock = FileLock(path)
    held = False
    with contextlib.suppress(OSError, NotImplementedError):
        lock.acquire()
        held = True
    try:
        yield
    finally:
        if held:
            lock.release()


def require_no_writer(folder: Path, name: str = LOCK) -> None:
    """Raises:
    HasAWriter: another process writes to the folder.
    """
    if (folder / name).is_file():
        writer = OneWriter(folder, name)
        writer.acquire()
        writer.release()
