"""The file that is written: looked at before anything is read, and whole or not there at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nnunetv2_lwi.disk import DISK_TROUBLE, disk_error_behind, require_writable, written_whole
from nnunetv2_lwi.errors import UserError


def require_destination(path: Path, endings: Sequence[str], overwrite: bool, source: Path) -> None:
    """Look whether a file can be written, without writing it.

    Args:
        endings: those that the file's name may have.
        overwrite: whether a file that is there may be replaced.
        source: folder of the training that is exported, which nothing is written into.

    Raises:
        UserError: it cannot.
    """
    if path.suffix not in endings:
        raise UserError(f"-o {path} must end in {' or '.join(endings)}.")
    if path.is_dir():
        raise UserError(f"-o {path} is a folder: name a file.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"-o {path}: there is no folder {path.absolute().parent}. Make it, or name another file.")
    if path.resolve().is_relative_to(source.resolve()):
        raise UserError(f"-o {path} lies in the folder of the training that is exported: name a file elsewhere.")
    if path.exists() and not overwrite:
        raise UserError(f"-o {path} exists: append --overwrite to replace it, or name another file.")
    require_writable(path.absolute().parent, "name another file with -o")


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """The new file, which takes the place of ``path`` at the end of the block; where the block fails the old one stands.

    Raises:
        UserError: the disk is full or does not take it.
    """
    try:
        with written_whole(path) as file:
            yield file
    except Exception as error:
        refusal = disk_error_behind(error)
        if refusal is None or refusal.errno not in DISK_TROUBLE:
            raise
        raise UserError(
            f"-o {path} could not be written: {refusal.strerror}. What was there before is untouched: mend that, or name "
            "another file."
        ) from error
