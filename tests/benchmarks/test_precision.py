from __future__ import annotations

import os

import torch

from benchmarks import precision
from benchmarks.plans import own_plan
from benchmarks.precision import COMPILE, DTYPES, compare_precisions_on, in_precision
from tests.benchmarks.conftest import CPU


def test_a_step_in_another_precision_leaves_torch_as_it_was():
    before = torch.get_autocast_dtype("cpu")
    seen = [in_precision(lambda: torch.get_autocast_dtype("cpu"), dtype, CPU)() for dtype in DTYPES.values()]
    assert seen == [torch.float16, torch.bfloat16, torch.float32]
    assert torch.get_autocast_dtype("cpu") == before


def test_every_setting_against_nnunets_and_against_the_first(phantom, monkeypatch):
    built = []

    def make_step(cls, plan, device):
        built.append(os.environ["nnUNet_compile"])
        return lambda: None

    monkeypatch.setattr(precision, "make_step", make_step)
    comparisons = compare_precisions_on(own_plan(phantom), CPU)
    assert built == ["f", "t"] * 3
    pairs = [(c.candidate, c.baseline) for c in comparisons]
    assert len(pairs) == len(set(pairs)) == 2 * len(DTYPES) * len(COMPILE) + 3 * (len(DTYPES) * len(COMPILE) - 1)
    assert ("LWIInit, bf16, compile on", "nnUNetTrainer, bf16, compile on") in pairs
    assert ("LWISeg, off, compile off", "LWISeg, fp16, compile off") in pairs
