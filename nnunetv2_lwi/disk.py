"""Files written whole or not at all; folders that cannot be written to and disks that are full, as one line for the user."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from nnunetv2_lwi.errors import UserError

WRITE_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""No space, quota used up, file too large, read-only: errors that only writing meets."""


def require_writable(folder: Path, instead: str = "set nnUNet_results to a folder that can be written to") -> None:
    """Try to write where a folder is, or where it will be made, and leave no trace.

    Args:
        instead: what the user may do, should the folder itself not be mended.

    Raises:
        UserError: a file stands where a folder should be, or nothing can be written there.
    """
    there = _nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(
            f"Nothing can be written to {folder}: {error.strerror} ({there}). Mend that, or {instead}."
        ) from error


def require_locks(folder: Path, instead: str) -> None:
    """Try to lock a file where a folder is, or where it will be made, and leave no trace. Windows locks everywhere.

    Args:
        instead: what the user may do.

    Raises:
        UserError: the file system there has no locks, as some network file systems, so that two processes would write to
            one folder.
    """
    if find_spec("fcntl") is None:
        return
    import fcntl

    there = _nearest(folder)
    with tempfile.TemporaryFile(dir=there) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"The file system of {there} has no file locks ({error.strerror}): {instead}.") from error


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that at any moment, even if the power fails, the old one or the new one is whole."""
    partial = path.with_suffix(f"{path.suffix}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def disk_error_behind(error: BaseException | None) -> OSError | None:
    """The operating system's error that an error arose from: torch.save hides a full disk behind a RuntimeError."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def writing_failed(error: OSError, path: str | os.PathLike[str]) -> UserError:
    """What to tell the user when ``path``, a file or a folder, does not take what is written."""
    folder = next(parent for parent in (Path(path), *Path(path).parents) if parent.is_dir())
    free = shutil.disk_usage(folder).free / 2**20
    return UserError(
        f"{path} could not be written: {error.strerror}; {folder} has {free:.1f} MiB free. The checkpoints that stand are "
        "whole: make room and run the same command with --c."
    )


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
