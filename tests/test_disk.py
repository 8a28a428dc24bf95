"""Where nothing can be written, one line says so."""

from __future__ import annotations

import errno
import fcntl
import json
import os

import pytest

from nnunetv2_lwi.disk import (
    disk_error_behind,
    remove_partial,
    require_locks,
    require_writable,
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
    told = writing_failed(OSError(errno.ENOENT, "No such file or directory"), tmp_path / "gone" / "checkpoint.pth")
    assert f"gone/checkpoint.pth could not be written: No such file or directory; {tmp_path} has" in told.message


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    require_locks(tmp_path / "a" / "b", "name another")

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=rf"of {tmp_path} has no file locks \(No locks available\): name another\."):
        require_locks(tmp_path / "a" / "b", "name another")
    assert not list(tmp_path.iterdir())


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
