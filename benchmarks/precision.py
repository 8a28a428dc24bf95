"""Training iterations on a GPU: autocast to float16 (nnU-Net's), to bfloat16 and off; torch.compile on and off."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from unittest.mock import patch

import torch

from benchmarks.datasets import LARGE
from benchmarks.measure import Comparison, Findings, time_rounds
from benchmarks.plans import Plan, own_plan
from benchmarks.steps import make_step
from benchmarks.trainers import CANDIDATES, trainers_for

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "off": torch.float32}
"""What autocast casts to; to float32 it casts nothing."""
COMPILE = {"compile off": "f", "compile on": "t"}


def compare_precisions(device: torch.device) -> Findings:
    """On a patch of 128 cubed."""
    if device.type != "cuda":
        return Findings(left_out=["autocast and torch.compile: they need a GPU (-device cuda)"])
    return Findings(compare_precisions_on(own_plan(LARGE), device))


def compare_precisions_on(plan: Plan, device: torch.device) -> list[Comparison]:
    """Ours over nnUNetTrainer's of the same precision, then each trainer's over its own fp16 without compilation."""
    trainers = trainers_for(plan)
    stock = next(iter(trainers))
    steps: dict[str, Callable[[], object]] = {}
    for (name, cls), (compiled, value) in product(trainers.items(), COMPILE.items()):
        with patch.dict(os.environ, nnUNet_compile=value):
            step = make_step(cls, plan, device)
        for precision, dtype in DTYPES.items():
            steps[f"{name}, {precision}, {compiled}"] = in_precision(step, dtype, device)
    rounds = time_rounds(steps)
    settings = [f"{precision}, {compiled}" for compiled, precision in product(COMPILE, DTYPES)]
    pairs = [(f"{name}, {setting}", f"{stock}, {setting}") for setting, name in product(settings, CANDIDATES)]
    pairs += [(f"{name}, {setting}", f"{name}, {settings[0]}") for name, setting in product(trainers, settings[1:])]
    return [Comparison.of(f"iteration, {plan}", *pair, "ms", rounds) for pair in pairs]


def in_precision(step: Callable[[], object], dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    """The same step, autocast casting to ``dtype`` where the trainer does not say to what."""

    def run() -> object:
        with autocast_to(dtype, device):
            return step()

    return run


@contextmanager
def autocast_to(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """torch's default for autocast on a device, for a while."""
    before = torch.get_autocast_dtype(device.type)
    torch.set_autocast_dtype(device.type, dtype)
    try:
        yield
    finally:
        torch.set_autocast_dtype(device.type, before)
