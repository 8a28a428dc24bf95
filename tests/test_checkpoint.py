"""Checkpoints: plain, whole at any moment, and read without running anything."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from nnunetv2_lwi.checkpoint import plain, read_checkpoint, write_checkpoint
from nnunetv2_lwi.errors import UserError

WEIGHTS = {"network_weights": {"a": torch.ones(2)}}


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "checkpoint.pth"
    write_checkpoint({**WEIGHTS, "logging": {"loss": [np.float32(0.5)], "cases": (np.str_("a"), None)}}, path)
    content = torch.load(path, weights_only=True)
    assert torch.equal(content["network_weights"]["a"], torch.ones(2))
    assert content["logging"] == {"loss": [0.5], "cases": ("a", None)}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pth"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_write_that_fails_leaves_the_old_checkpoint_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pth"
    write_checkpoint(WEIGHTS, path)
    before = path.read_bytes()

    def fill_the_disk(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint({"network_weights": {}}, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pth"]


def test_plain_keeps_tensors_and_nesting():
    tensor = torch.ones(1)
    made = plain({1: [np.int64(2), (np.bool_(True), tensor)], "array": np.arange(2)})
    assert made == {1: [2, (True, tensor)], "array": [0, 1]} and type(made[1][0]) is int


class CreatesAFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_hostile_checkpoint_runs_nothing(tmp_path):
    path, trace = tmp_path / "hostile.pth", tmp_path / "trace"
    torch.save({**WEIGHTS, "logging": CreatesAFile(trace)}, path)
    with pytest.raises(UserError, match="would run code that is not known to be safe"):
        read_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize("spoil", ["truncate", "empty", "text", "pickle", "list", "no weights", "missing", "folder"])
def test_what_is_no_checkpoint_is_named(tmp_path, spoil):
    path = tmp_path / "checkpoint.pth"
    write_checkpoint(WEIGHTS, path)
    if spoil == "truncate":
        path.write_bytes(path.read_bytes()[:-200])
    elif spoil == "empty":
        path.write_bytes(b"")
    elif spoil == "text":
        path.write_text("weights")
    elif spoil == "pickle":
        path.write_bytes(pickle.dumps({"a": 1}))
    elif spoil == "list":
        torch.save([1, 2], path)
    elif spoil == "no weights":
        torch.save({"state_dict": {}}, path)
    else:
        path.unlink()
        if spoil == "folder":
            path.mkdir()
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    assert str(path) in error.value.message and "\n" not in error.value.message


def test_nnunets_own_checkpoints_are_read(tmp_path):
    """Their log holds numpy scalars."""
    path = tmp_path / "checkpoint.pth"
    torch.save({**WEIGHTS, "logging": {"train_losses": [np.float32(1), np.float64(2)]}, "_best_ema": np.float64(0.5)}, path)
    assert read_checkpoint(path)["logging"]["train_losses"] == [1, 2]
