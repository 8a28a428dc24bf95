"""Seeds and random states: python's, numpy's, torch's and the generator of step 1's transformation."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed python, numpy and torch, on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def make_generator(seed: int | None) -> torch.Generator:
    """A generator, seeded, or with the system's entropy where there is no seed.

    A new generator begins with the same seed in every process, so that without this all ranks would draw the same
    permutations and masks. It is on the CPU, whatever the batch is on: its state, and what it draws from it, are then the
    same on every machine, and a training goes on on another kind of device.
    """
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def seed_for_going_on(seed: int, epoch: int) -> int:
    """The seed of a rank whose random states no checkpoint holds, where it goes on: another one for each seed and epoch."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])


def get_random_state() -> dict[str, Any]:
    """The state of every global generator as plain values and tensors."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [
            str(name),
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Undo what was drawn since :func:`get_random_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
