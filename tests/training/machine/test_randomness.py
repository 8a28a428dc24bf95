"""Random states come back as they were."""

from __future__ import annotations

import random

import numpy as np
import torch

from nnunetv2_lwi.handover.checkpoint import read_checkpoint, write_checkpoint
from nnunetv2_lwi.training.machine.randomness import get_random_state, make_generator, seed_all, set_random_state


def draw() -> list[float]:
    return [random.random(), float(np.random.rand()), float(np.random.randn()), torch.rand(1).item(), random.gauss(0, 1)]


def test_states_survive_a_checkpoint(tmp_path):
    seed_all(5)
    draw()
    write_checkpoint({"network_weights": {}, "state": get_random_state()}, tmp_path / "checkpoint.pth")
    expected = draw()
    seed_all(6)
    set_random_state(read_checkpoint(tmp_path / "checkpoint.pth")["state"])
    assert draw() == expected


def test_a_seed_repeats_and_none_does_not():
    def first(seed):
        return torch.rand(4, generator=make_generator(seed)).tolist()

    assert first(1) == first(1) != first(2)
    assert first(None) != first(None)
