"""The file that is written: looked at before anything is read, and whole or not there at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nnunetv2_lwi.disk import DISK_TROUBLE, disk_error_behind, require_new_file, written_whole
from nnunetv2_lwi.errors import UserError


def require_destination(path: Path, endings: Sequence[str], overwrite: bool, source: Path) -> None:
    """Look whether a file can be written, without writing it.

    Args:
        source: folder of the training that is exported, which nothing is written into.

    Raises:
        UserError: as :func:`~nnunetv2_lwi.disk.require_new_file`, or it would lie there.
    """
    if path.resolve().is_relative_to(source.resolve()):
        raise UserError(f"-o {path} lies in the folder of the training that is exported: name a file elsewhere.")
    require_new_file(path, endings, overwrite)


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
