"""Checkpoints: plain, and whole at any moment. Files that are none, or hostile, are in tests/bad_input."""

from __future__ import annotations

import io
import os
import zipfile
from contextlib import suppress
from tempfile import NamedTemporaryFile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover import checkpoint
from nnunetv2_lwi.handover.checkpoint import lacking_keys, on_cpu, read_checkpoint, write_checkpoint
from nnunetv2_lwi.handover.plain import plain
from tests.networks_for_tests import build_unet
from tests.pretended_cuda import pretend

WEIGHTS = {"network_weights": {"a": torch.ones(2)}}
_buffer = io.BytesIO()
torch.save(WEIGHTS | {"logging": {"loss": [np.float32(0.5)]}}, _buffer)
WHOLE = _buffer.getvalue()


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "checkpoint.pth"
    write_checkpoint({**WEIGHTS, "logging": {"loss": [np.float32(0.5)], "cases": (np.str_("a"), None)}}, path)
    content = torch.load(path, weights_only=True)
    assert torch.equal(content["network_weights"]["a"], torch.ones(2))
    assert content["logging"] == {"loss": [0.5], "cases": ("a", None)}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pth"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def memories(state):
    """The distinct storages of a state dict's tensors, and their bytes in all."""
    storages = {StorageWeakRef(tensor.untyped_storage()): tensor.untyped_storage().nbytes() for tensor in state.values()}
    return len(storages), sum(storages.values())


def test_from_a_gpu_each_memory_is_moved_once():
    """nnU-Net's U-Net holds its encoder twice, and every layer by two names."""
    network = build_unet([[1, 1, 1], [2, 2, 2]])
    expected = memories(network.state_dict())
    assert expected[0] < len(network.state_dict()) / 2
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_gpu = pretend(network).state_dict()
        moved = on_cpu({"network_weights": on_gpu})["network_weights"]
    assert {tensor.device.type for tensor in on_gpu.values()} == {"cuda"}
    assert {tensor.device.type for tensor in moved.values()} == {"cpu"}
    assert memories(moved) == expected
    assert {key: tensor.shape for key, tensor in moved.items()} == {key: tensor.shape for key, tensor in on_gpu.items()}


def test_what_is_seen_in_part_or_turned_stays_so(monkeypatch):
    """On the CPU, taken for another device."""
    whole = torch.arange(12.0).reshape(3, 4)
    content = {"whole": whole, "turned": whole.T, "part": whole[1:, 2:], "half": whole.view(torch.int16)[0]}
    monkeypatch.setattr(checkpoint, "HOST", "another")
    copies = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: copies.append(tensor) or cpu(tensor).clone())
    moved = on_cpu([{"again": [whole]}, content])[1]
    assert all(torch.equal(moved[key], content[key]) for key in content)
    assert len(copies) == 2 and moved["turned"].untyped_storage().data_ptr() == moved["whole"].untyped_storage().data_ptr()


def test_optimiser_states_go_to_the_cpu_with_the_rest(tmp_path, monkeypatch):
    """All that is written is looked through, however deep it lies."""
    seen = []
    move = checkpoint._tensor_on_cpu
    monkeypatch.setattr(checkpoint, "_tensor_on_cpu", lambda tensor, moved: seen.append(tensor) or move(tensor, moved))
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    write_checkpoint({**WEIGHTS, "optimizer_state": optimizer.state_dict()}, tmp_path / "checkpoint.pth")
    assert len(seen) == 1 + 2 * 3  # two moments and a count for each of two parameters


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
    with pytest.raises(UserError, match=f"{path} could not be written: No space left on device; {tmp_path} has .* MiB free"):
        write_checkpoint({"network_weights": {}}, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pth"]


def test_an_error_that_is_not_the_disks_stays_what_it_is(tmp_path, monkeypatch):
    def fail(content, file):
        raise RuntimeError("no tensor")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="no tensor"):
        write_checkpoint(WEIGHTS, tmp_path / "checkpoint.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("broken", "others", "words"),
    [
        ("latest", ["best"], "Move it away and train with --c, which then goes on from checkpoint_best.pth beside it."),
        ("final", ["best", "latest"], "goes on from checkpoint_latest.pth beside it."),
        ("latest", [], "Use another one, or train again."),
        ("mine", ["best"], "Use another one, or train again."),
    ],
)
def test_a_broken_checkpoint_is_told_with_the_way_on(tmp_path, broken, others, words):
    for kind in others:
        write_checkpoint(WEIGHTS, tmp_path / f"checkpoint_{kind}.pth")
    path = tmp_path / f"checkpoint_{broken}.pth"
    path.write_bytes(b"PK")
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    assert f"{path} cannot be read as a checkpoint" in error.value.message and error.value.message.endswith(words)


def test_plain_keeps_tensors_and_nesting():
    tensor = torch.ones(1)
    made = plain({1: [np.int64(2), (np.bool_(True), tensor)], "array": np.arange(2)})
    assert made == {1: [2, (True, tensor)], "array": [0, 1]} and type(made[1][0]) is int


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError(116, "Stale file handle"), "Stale file handle"),
        (MemoryError(), "memory does not suffice"),
        (OSError(12, "Cannot allocate memory"), "memory does not suffice"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"), "memory does not suffice"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "memory does not suffice",
        ),
    ],
    ids=["rights", "network", "memory", "system's memory", "torch's memory on Windows", "torch's memory"],
)
def test_a_checkpoint_that_cannot_be_read_here_is_not_called_broken(tmp_path, monkeypatch, error, told):
    path = tmp_path / "checkpoint.pth"
    write_checkpoint(WEIGHTS, path)

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(
        UserError, match=rf"checkpoint\.pth could not be read: {told}\. It may be whole: mend that and try again\.$"
    ):
        read_checkpoint(path)


@settings(deadline=None)
@given(st.data())
def test_a_checkpoint_spoiled_anywhere_is_read_or_refused(data):
    """Whatever torch raises over a byte, a user sees one line."""
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with NamedTemporaryFile() as file:
        file.write(content[: data.draw(st.integers(0, len(content)))])
        file.flush()
        with suppress(UserError):
            read_checkpoint(file.name)


def test_nnunets_own_checkpoints_are_read(tmp_path):
    """Their log holds numpy scalars."""
    path = tmp_path / "checkpoint.pth"
    torch.save({**WEIGHTS, "logging": {"train_losses": [np.float32(1), np.float64(2)]}, "_best_ema": np.float64(0.5)}, path)
    assert read_checkpoint(path)["logging"]["train_losses"] == [1, 2]


def as_numpy_1_wrote_it(checkpoint: bytes) -> bytes:
    """The same file, with the name by which numpy 1 pickled its scalars."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(checkpoint)) as source, zipfile.ZipFile(written, "w") as target:
        for entry in source.infolist():
            target.writestr(entry, source.read(entry).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    return written.getvalue()


def test_scalars_that_numpy_1_wrote_are_read(tmp_path):
    old = as_numpy_1_wrote_it(WHOLE)
    assert b"numpy.core.multiarray" in old and b"numpy._core" not in old
    (tmp_path / "old.pth").write_bytes(old)
    assert read_checkpoint(tmp_path / "old.pth")["logging"] == {"loss": [0.5]}


@pytest.mark.parametrize(
    "content", [[1], {"a": 1}, {"network_weights": {"a": 1}}, {"network_weights": [torch.ones(1)]}], ids=str
)
def test_what_holds_no_weights_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path)
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    assert error.value.reason == f"{path} is not a checkpoint of nnU-Net: it holds no network_weights. Use another one."


def test_a_checkpoint_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError) as error:
        read_checkpoint(tmp_path / "a.pth")
    assert error.value.reason == f"There is no checkpoint {tmp_path / 'a.pth'}."


class Code:
    """Unpickled, it would be made."""


def test_code_is_named_and_not_run(tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save(WEIGHTS | {"code": Code()}, path)
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    assert error.value.reason == (
        f"{path} cannot be read as a checkpoint, for it would run code that is not known to be safe ({__name__}.Code). Use "
        "another one, or train again."
    )
    path.write_bytes(b"PK")
    with pytest.raises(UserError, match=r"for it is cut short or no checkpoint at all\. Use another"):
        read_checkpoint(path)


def test_lacking_keys_are_named_by_their_blocks():
    content = {"a": {"x": 1}, "b": 3}
    assert lacking_keys(content, {"a": ("x", "y"), "b": ("z",), "c": ()}) == ["a.y", "b", "c"]
    assert lacking_keys(content, {"a": ()}) == []
