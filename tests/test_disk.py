"""Where nothing can be written, one line says so."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from nnunetv2_lwi.disk import (
    NO_ROOM,
    disk_error_behind,
    link,
    remove_partial,
    require_room,
    require_writable,
    telling_disk_trouble,
    write_json,
    write_text,
    writing_failed,
    written_whole,
)
from nnunetv2_lwi.errors import UserError


def test_a_folder_that_can_be_made_passes_and_is_not_made(tmp_path):
    require_writable(tmp_path / "a" / "b")
    require_writable(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_what_is_no_folder_is_told(tmp_path, kind):
    there = tmp_path / "results"
    if kind == "file":
        there.touch()
    else:
        there.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError) as error:
        require_writable(there / "a" / "b")
    assert f"Nothing can be written to {there / 'a' / 'b'}" in error.value.message and f"({there})" in error.value.message


def test_the_disks_error_is_found_behind_others():
    full = OSError(errno.ENOSPC, "No space left on device")
    hidden = RuntimeError("unexpected pos 64 vs 0")
    hidden.__context__ = full
    assert disk_error_behind(hidden) is full and disk_error_behind(full) is full
    assert disk_error_behind(RuntimeError()) is None


def test_a_folder_that_is_gone_can_be_told(tmp_path):
    told = writing_failed(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "gone" / "checkpoint.pth")
    assert f"gone/checkpoint.pth could not be written: No space left on device; {tmp_path} has" in told.message


@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ESTALE, errno.ENOMEM, errno.EACCES, errno.ENOENT]
)
def test_only_where_room_is_missing_the_advice_is_to_make_room(tmp_path, code):
    told = writing_failed(OSError(code, os.strerror(code)), tmp_path / "checkpoint.pth").message
    assert ("make room" in told) == ("MiB free" in told) == (code in NO_ROOM)
    assert f"could not be written: {os.strerror(code)}" in told and "--c" in told


def test_what_the_file_system_does_not_allow_is_one_line_and_a_programs_mistake_is_not(tmp_path):
    with (
        pytest.raises(UserError, match=f"{tmp_path}/a cannot be used: Stale file handle. Mend that"),
        telling_disk_trouble(),
    ):
        raise OSError(errno.ESTALE, "Stale file handle", f"{tmp_path}/a")
    with pytest.raises(FileNotFoundError), telling_disk_trouble():
        (tmp_path / "none").read_text()


@pytest.mark.parametrize("allowed", [True, False], ids=["links", "no links"])
def test_a_link_where_links_are_not_allowed_shows_the_same_files(tmp_path, monkeypatch, allowed):
    """Windows: os.symlink raises WinError 1314 for who is no administrator."""
    source = tmp_path / "data"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "a").write_text("a")

    def refuse(*_, **__):
        raise OSError(22, "A required privilege is not held by the client")

    if not allowed:
        monkeypatch.setattr(os, "symlink", refuse)
    for path, target in ((tmp_path / "folder", source), (tmp_path / "file", Path("data/inner/a"))):
        for _ in range(2):
            link(path, target)
        assert path.is_symlink() == allowed
    assert (tmp_path / "folder" / "inner" / "a").read_text() == (tmp_path / "file").read_text() == "a"
    assert (tmp_path / "file").samefile(source / "inner" / "a"), "no second copy of the data"


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write_text(path, '{"a": 1}')

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        write_text(path, '{"a": 2}')
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_rights_that_the_umask_leaves(tmp_path):
    """A temporary file of Python's has 0600, which nobody else on a shared disk can read."""
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {"é": [1]})
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"é": [1]}


def test_a_file_is_written_where_rights_cannot_be_set(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    for name in ("chmod", "fchmod", "umask"):
        monkeypatch.setattr(os, name, refuse)
    write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"


def test_two_that_write_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a"
    with written_whole(path) as one, written_whole(path) as other:
        one.write(b"one")
        other.write(b"other")
    assert path.read_bytes() in (b"one", b"other") and list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path):
    kept = ["checkpoint_latest.pth", "checkpoint_best.pth", ".checkpoint_mine.tmp"]
    for name in (*kept, ".checkpoint_latest.pth.a1_b2.tmp", ".checkpoint_final.pth.xyz.tmp"):
        (tmp_path / name).touch()
    remove_partial(tmp_path, "checkpoint_*.pth")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_room_is_looked_at_before_it_is_needed(tmp_path, monkeypatch):
    require_room(tmp_path / "a" / "b", 1, "checkpoints")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(UserError, match=r"b has 1 MiB free, and checkpoints need about 3 MiB: make room"):
        require_room(tmp_path / "a" / "b", 3 * 2**20, "checkpoints")
