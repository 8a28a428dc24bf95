"""Files written whole or not at all; folders that cannot be written to and disks that are full, as one line for the user."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

from nnunetv2_lwi.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTIAL = ".tmp"
"""Ends the name of a file that is being written."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space, quota used up, file too large: what making room mends."""

ONLY_WRITING = (*NO_ROOM, errno.EROFS)
"""Errors that only writing meets."""

DISK_TROUBLE = (
    *NO_ROOM,
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG),
    *(
        getattr(errno, name)
        for name in ("ESTALE", "ENOTCONN", "EHOSTDOWN", "EREMOTEIO", "ETIMEDOUT")
        if hasattr(errno, name)
    ),
)
"""What the file system or the rights there do not allow, a network's among them: no mistake of a program."""


def require_new_file(path: Path, endings: Sequence[str], overwrite: bool) -> None:
    """Look whether the file that ``-o`` names can be written, without writing it.

    Args:
        endings: those that the file's name may have.
        overwrite: whether a file that is there may be replaced.

    Raises:
        UserError: it cannot.
    """
    if path.suffix.lower() not in endings:
        raise UserError(f"-o {path} must end in {' or '.join(endings)}.")
    if path.is_dir():
        raise UserError(f"-o {path} is a folder: name a file.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"-o {path}: there is no folder {path.absolute().parent}. Make it, or name another file.")
    if path.exists() and not overwrite:
        raise UserError(f"-o {path} exists: append --overwrite to replace it, or name another file.")
    require_writable(path.absolute().parent, "name another file with -o")


def require_writable(folder: Path, instead: str = "set nnUNet_results to a folder that can be written to") -> None:
    """Try to write where a folder is, or where it will be made, and leave no trace.

    Args:
        instead: what the user may do, should the folder itself not be mended.

    Raises:
        UserError: a file stands where a folder should be, or nothing can be written there.
    """
    there: Path | str = folder
    try:
        there = _nearest(folder)
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(
            f"Nothing can be written to {folder}: {error.strerror} ({there}). Mend that, or {instead}."
        ) from error


def require_room(folder: Path, needed: int, what: str) -> None:
    """Look at the free space where a folder is, or where it will be made; a quota is not seen.

    Args:
        needed: bytes.
        what: will be written.

    Raises:
        UserError: there is less.
    """
    free = shutil.disk_usage(_nearest(folder)).free
    if free < needed:
        raise UserError(
            f"{folder} has {free / 2**20:.0f} MiB free, and {what} need about {needed / 2**20:.0f} MiB: make room, or set "
            "nnUNet_results to another disk."
        )


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of ``path`` at the end of the block, or is removed where the block fails.

    At any moment, even if the power fails, the old file or the new one is whole. It is written beside ``path`` under a name
    of its own, with the rights that the umask leaves.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{uuid4().hex}{PARTIAL}")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def remove_partial(folder: str | os.PathLike[str], name: str) -> None:
    """Remove what a killed :func:`written_whole` left in a folder of files whose name fits the pattern."""
    for partial in Path(folder).glob(f".{name}.*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8."""
    with written_whole(path) as file:
        file.write(text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole, as nnU-Net formats its own."""
    write_text(path, json.dumps(content, indent=4) + "\n")


def write_picture(path: Path, figure: Figure, dpi: int) -> None:
    """Write a figure as PNG whole."""
    with written_whole(path) as file:
        figure.savefig(file, format="png", dpi=dpi)


def link(path: Path, target: Path) -> None:
    """A link to a file or folder, made anew where the target was moved; where links are not allowed, hard links or copies.

    Windows allows links to administrators only. A folder then has the files that the target has now.

    Args:
        target: may be relative to the link's folder.
    """
    if path.is_symlink() and path.readlink() != target:
        path.unlink()
    if path.is_symlink():
        return
    try:
        path.symlink_to(target)
    except OSError:
        _copy_by_links(path.parent / target, path)


def _copy_by_links(source: Path, path: Path) -> None:
    """Files that were there from an earlier call are taken from the source again."""
    if source.is_dir():
        shutil.copytree(source, path, copy_function=_hard_link_or_copy, dirs_exist_ok=True)
    else:
        _hard_link_or_copy(source, path)


def _hard_link_or_copy(source: str | Path, path: str | Path) -> None:
    Path(path).unlink(missing_ok=True)
    try:
        os.link(source, path)
    except OSError:
        shutil.copy2(source, path)


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: there is no such file, or it holds something else; ``remedy`` says what to do.
    """
    if not path.is_file():
        raise UserError(f"There is no {path}: {remedy}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}): correct it, or {remedy}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} does not hold a JSON object: correct it, or {remedy}.")
    return content


def disk_error_behind(error: BaseException | None) -> OSError | None:
    """The operating system's error that an error arose from: torch.save hides a full disk behind a RuntimeError."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def writing_failed(error: OSError, path: str | os.PathLike[str], doing: str = "written") -> UserError:
    """What to tell the user when ``path``, a file or a folder, does not take what is written.

    Args:
        doing: what else may have failed, in the words of the message.
    """
    room, remedy = "", "mend that"
    if error.errno in NO_ROOM:
        folder = next(parent for parent in (Path(path), *Path(path).parents) if parent.is_dir())
        room, remedy = f"; {folder} has {shutil.disk_usage(folder).free / 2**20:.1f} MiB free", "make room"
    return UserError(
        f"{path} could not be {doing}: {error.strerror}{room}. The checkpoints that stand are whole: {remedy} and run the "
        "same command with --c."
    )


@contextmanager
def telling_disk_trouble() -> Iterator[None]:
    """What the file system does not allow is one line, with the file's name.

    Raises:
        UserError: in the place of an error of the operating system that is no mistake of a program.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_TROUBLE:
            raise
        where = error.filename or "A file"
        remedy = "Make room there" if error.errno in NO_ROOM else "Mend that"
        raise UserError(f"{where} cannot be used: {error.strerror}. {remedy}, and run the same command again.") from error


def missing_folders(folder: Path) -> list[Path]:
    """The folder and those above it that are not there, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
