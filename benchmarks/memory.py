"""Peak memory of a training iteration of step 1 and of step 2 against nnUNetTrainer's, on the same plan."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
from functools import partial

import torch

from benchmarks.measure import Comparison, Findings, take_turns
from benchmarks.plans import Plan, measured_plans
from benchmarks.steps import against_stock, make_step
from benchmarks.trainers import trainers_for

IMPORTED_ONCE = ["benchmarks.memory", "benchmarks.networks", "dynamic_network_architectures.architectures.primus"]
"""With torch, nnU-Net, MONAI and timm, which every process would import else, and hold the memory of."""
STEPS = 2
"""The second has the optimiser's state beside the gradients."""


def compare_memory(device: torch.device) -> Findings:
    """Peak memory of an iteration, plan by plan."""
    findings = Findings()
    for plan in measured_plans(device):
        findings.comparisons += compare_memory_on(plan, device)
    return findings


def compare_memory_on(plan: Plan, device: torch.device) -> list[Comparison]:
    """Each measurement in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED_ONCE)

    def peak(cls: type) -> float:
        with context.Pool(1) as pool:
            return pool.apply(peak_memory, (cls, plan, device, torch.get_num_threads()))

    rounds = take_turns({name: partial(peak, cls) for name, cls in trainers_for(plan).items()}, warm_ups=0)
    return against_stock(f"peak memory of an iteration, {plan}", plan, "MiB", rounds)


def peak_memory(cls: type, plan: Plan, device: torch.device, threads: int) -> float:
    """MiB over what the process held before there was a trainer; on a GPU, what torch had there at most."""
    torch.set_num_threads(threads)
    before = resident_peak()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        step = make_step(cls, plan, device)
        for _ in range(STEPS):
            step()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resident_peak() - before


def resident_peak() -> float:
    """MiB that this process had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
