"""Peak memory of training iterations of step 1 and of step 2 against nnUNetTrainer's, on the same plan."""

from __future__ import annotations

import gc
from functools import partial

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import Comparison, Findings, take_turns
from benchmarks.plans import Plan
from benchmarks.steps import against_stock, make_step, plan_by_plan
from benchmarks.trainers import trainers_for

STEPS = 2
"""The second has the optimiser's state beside the gradients."""
REPEATS = 1
"""It is counted, not timed: what torch allocates for a step does not change from one run to the next."""
MIB = 2**20


def compare_memory(device: torch.device) -> Findings:
    """Peak memory of network, optimiser and iterations, plan by plan."""
    return plan_by_plan(compare_memory_on, device)


def compare_memory_on(plan: Plan, device: torch.device) -> list[Comparison]:
    """One trainer after the other."""
    peaks = {name: partial(peak_memory, cls, plan, device) for name, cls in trainers_for(plan).items()}
    return against_stock(f"peak memory, {plan}", plan, "MiB", take_turns(peaks, REPEATS, warm_ups=0))


def peak_memory(cls: type, plan: Plan, device: torch.device) -> float:
    """MiB that torch held at most on the device, from before there was a trainer."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        train(cls, plan, device)
        return (torch.cuda.max_memory_allocated() - before) / MIB
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        train(cls, plan, device)
    return peak_of_allocations(profiled) / MIB


def train(cls: type, plan: Plan, device: torch.device) -> None:
    """A trainer's first iterations."""
    step = make_step(cls, plan, device)
    for _ in range(STEPS):
        step()


def peak_of_allocations(profiled: profile) -> int:
    """Bytes that the CPU's tensors took at most, over what they took at the start."""
    events = profiled.profiler.kineto_results.events()  # type: ignore[union-attr]
    held = peak = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
