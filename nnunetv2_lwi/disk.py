"""Folders that cannot be written to and disks that are full, as one line for the user."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from nnunetv2_lwi.errors import UserError

WRITE_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""No space, quota used up, file too large, read-only: errors that only writing meets."""


def require_writable(folder: Path) -> None:
    """Try to write where a folder is, or where it will be made, and leave no trace.

    Raises:
        UserError: a file stands where a folder should be, or nothing can be written there.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(
            f"Nothing can be written to {folder}: {error.strerror} ({there}). Mend that, or set nnUNet_results to a folder "
            "that can be written to."
        ) from error


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
