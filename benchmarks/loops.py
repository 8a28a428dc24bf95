"""Whole training loops on a GPU, nnU-Net's loader and its worker processes included."""

from __future__ import annotations

import os
import time
from functools import partial
from importlib.util import find_spec
from statistics import fmean
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch.utils.benchmark import timer

from benchmarks.datasets import LARGE
from benchmarks.measure import REPEATS, Comparison, Findings, take_turns
from benchmarks.plans import Plan, own_plan
from benchmarks.trainers import CANDIDATES, make_trainer, trainers_for
from nnunetv2_lwi.training.loading.device_loader import host_loader
from nnunetv2_lwi.training.loading.workers import end_workers

SECONDS = 8.0
GOAL = 2.0
"""Iterations per second over nnUNetTrainer's."""


class Loop(NamedTuple):
    """What a loop gave."""

    rate: float
    """Iterations per second."""
    utilisation: float | None
    """Mean per cent of the time in which the GPU did anything; None where nothing tells."""


def compare_loops(device: torch.device, workers: int) -> Findings:
    """Iterations per second and utilisation of the GPU, on a patch of 128 cubed."""
    if device.type != "cuda":
        return Findings(left_out=[f"whole loops with {workers} workers: they need a GPU (-device cuda)"])
    return compare_loops_on(own_plan(LARGE), device, workers, SECONDS)


def compare_loops_on(plan: Plan, device: torch.device, workers: int, duration: float, repeats: int = REPEATS) -> Findings:
    """All three trainers, turn and turn about; only the one that is measured has workers at the time."""
    title = f"whole loop, {workers} workers, {plan}"
    trainers = {name: make_trainer(cls, plan, device) for name, cls in trainers_for(plan).items()}
    loops = take_turns({name: partial(run_loop, trainer, workers, duration) for name, trainer in trainers.items()}, repeats)
    stock = next(iter(loops))
    rates = {name: [loop.rate for loop in of_one] for name, of_one in loops.items()}
    findings = Findings(
        [Comparison.of(title, name, stock, "iterations/s", rates, goal=GOAL, more_is_better=True) for name in CANDIDATES]
    )
    shares = {name: [loop.utilisation for loop in of_one if loop.utilisation is not None] for name, of_one in loops.items()}
    if all(map(len, shares.values())):
        title = f"utilisation of the GPU, {title}"
        findings.comparisons += [Comparison.of(title, name, stock, "%", shares, more_is_better=True) for name in CANDIDATES]
    else:
        findings.left_out.append(f"utilisation of the GPU, {workers} workers: it needs pip install nvidia-ml-py")
    return findings


def run_loop(trainer: Any, workers: int, duration: float) -> Loop:
    """Train for ``duration`` seconds, once what the loader had in store is used up."""
    tells_utilisation = trainer.device.type == "cuda" and find_spec("pynvml") is not None
    with patch.dict(os.environ, nnUNet_n_proc_DA=str(workers)):
        trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    try:
        for _ in range(batches_in_store(trainer.dataloader_train)):
            trainer.train_step(next(trainer.dataloader_train))
        shares = []
        iterations, start = 0, timer()
        while time.perf_counter() - start < duration:
            trainer.train_step(next(trainer.dataloader_train))
            iterations += 1
            if tells_utilisation:
                shares.append(torch.cuda.utilization())
        rate = iterations / (timer() - start)
    finally:
        for loader in (trainer.dataloader_train, trainer.dataloader_val):
            end_workers(loader)
    return Loop(rate, fmean(shares) if shares else None)


def batches_in_store(loader: Any) -> int:
    """How many batches a loader with workers makes ahead: in two queues, one in each worker's hands, one on the device."""
    workers = host_loader(loader)
    return 2 * getattr(workers, "num_cached", 0) + getattr(workers, "num_processes", 1) + (workers is not loader)
