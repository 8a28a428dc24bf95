"""One training folder, one writer: a second job that is started on it ends with one line.

The operating system frees the lock of a process that ended, however it ended, so that no lock ever goes stale. The lock's
file stays behind, empty: one that is removed may be locked twice.
"""

from __future__ import annotations

import contextlib
import os
import socket
from datetime import datetime
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from nnunetv2_lwi.errors import UserError

LOCK, OWNER = ".writer.lock", ".writer.txt"


class OneWriter:
    """The right to write to a folder; within one process, who has it may have it again.

    Args:
        folder: where a training writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: FileLock | None = None

    def acquire(self) -> bool:
        """Take it, or have it already.

        Returns:
            False where the file system has no locks: nothing is known then of other writers.

        Raises:
            UserError: another process has it.
        """
        if self._lock is not None:
            return True
        lock = FileLock(self.folder / LOCK, blocking=False, is_singleton=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise UserError(
                f"{self.folder} is being written to by another training{self._owner()}: wait until it ends, or end it, and "
                "run the same command with --c."
            ) from error
        except (OSError, NotImplementedError):
            return False
        if isinstance(lock, SoftFileLock):
            lock.release()
            return False
        self._lock = lock
        with contextlib.suppress(OSError):
            since = f"{datetime.now():%Y-%m-%d %H:%M}"
            (self.folder / OWNER).write_text(f"process {os.getpid()} on {socket.gethostname()}, since {since}", "utf-8")
        return True

    def release(self) -> None:
        """Leave it to others."""
        if self._lock is None:
            return
        (self.folder / OWNER).unlink(missing_ok=True)
        self._lock.release()
        self._lock = None

    def _owner(self) -> str:
        try:
            return f" ({(self.folder / OWNER).read_text('utf-8')})"
        except OSError:
            return ""


def require_no_writer(folder: Path) -> None:
    """Raises:
    UserError: another process writes to the folder.
    """
    if (folder / LOCK).is_file():
        writer = OneWriter(folder)
        writer.acquire()
        writer.release()
