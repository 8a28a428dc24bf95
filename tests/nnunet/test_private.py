"""The private parts of other packages are there and do what this package takes them for."""

from __future__ import annotations

import inspect
import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from nnunetv2.run import load_pretrained_weights as nnunet_weights
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet_trainer
from torch import nn

from nnunetv2_lwi.nnunet.private import (
    NUMPY_SCALARS,
    collector,
    distributed_on,
    end,
    times_changed,
    weights_read_to_cpu,
    without_compilation,
)


class Endless:
    """A loader of nothing."""

    def set_thread_id(self, thread_id: int) -> None:
        """As batchgenerators asks of a loader."""

    def __next__(self) -> dict[str, object]:
        return {"data": np.zeros(1)}


def test_the_network_within_a_compiled_one_is_found():
    network = nn.Linear(2, 2)
    assert without_compilation(torch.compile(network)) is network  # type: ignore[arg-type]
    assert without_compilation(network) is network


def test_in_a_group_weights_are_read_to_the_cpu_and_not_to_the_gpu_that_has_the_rank_s_number(tmp_path, monkeypatch):
    """As on a second machine, whose ranks go on counting, or without any GPU."""
    network, trained = nn.Linear(2, 2), nn.Linear(2, 2)
    torch.save({"network_weights": trained.state_dict()}, tmp_path / "checkpoint_final.pth")
    group = SimpleNamespace(is_initialized=lambda: True, get_rank=lambda: 99)
    monkeypatch.setattr(nnunet_weights, "dist", group)
    with pytest.raises(RuntimeError, match="CUDA"):
        nnunet_weights.load_pretrained_weights(network, str(tmp_path / "checkpoint_final.pth"))
    with weights_read_to_cpu():
        nnunet_weights.load_pretrained_weights(network, str(tmp_path / "checkpoint_final.pth"))
    assert torch.equal(network.weight, trained.weight)
    assert nnunet_weights.torch is torch


def test_a_change_in_place_is_counted():
    parameter = nn.Parameter(torch.zeros(2))
    before = times_changed(parameter)
    nn.init.ones_(parameter)
    assert times_changed(parameter) > before


def test_numpy_s_scalars_are_read_without_unpickling():
    content = [np.dtype(code).type(1) for code in "?bBhHiIlLqQefd"]
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    with torch.serialization.safe_globals(NUMPY_SCALARS):
        assert torch.load(buffer, weights_only=True) == content


def test_workers_and_the_thread_that_collects_from_them_end():
    loader = NonDetMultiThreadedAugmenter(Endless(), None, 1, 1, seeds=[0])
    assert collector(loader) is None
    next(loader)
    thread = collector(loader)
    assert thread is not None and thread.is_alive()
    end(loader)
    thread.join(10)
    assert not thread.is_alive()


def test_networks_are_wrapped_for_the_device_of_a_process_and_not_for_its_rank(monkeypatch):
    """On the second machine of two the rank is none of its GPUs' numbers."""
    wrapped = []
    monkeypatch.setattr(nnunet_trainer, "DDP", lambda network, device_ids: wrapped.append((network, device_ids)))
    before = nnunet_trainer.DDP
    for device in (torch.device("cuda", 1), torch.device("cpu")):
        with distributed_on(device):
            nnunet_trainer.DDP("network", device_ids=[5])
    assert wrapped == [("network", [1]), ("network", None)] and nnunet_trainer.DDP is before
    assert "DDP(self.network, device_ids=[self.local_rank])" in inspect.getsource(nnunet_trainer.nnUNetTrainer.initialize)
