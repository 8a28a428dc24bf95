"""Speed and memory beside nnUNetTrainer's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from unittest.mock import patch

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.datasets import LARGE, GivenDataset
from benchmarks.gpu.runner import Figures, Place
from benchmarks.loops import compare_loops_on
from benchmarks.measure import Comparison
from benchmarks.memory import compare_memory_on
from benchmarks.plans import Plan, own_plan
from benchmarks.steps import compare_steps_on
from benchmarks.trainers import make_trainer, trainers_for

ROUNDS = 2
SECONDS_OF_A_LOOP = 4.0
ITERATIONS_PROFILED = 20


def iteration(place: Place) -> Iterator[Figures]:
    """Patch 128 cubed, the batch being there; goal of step 1: at most 0.95 of nnUNetTrainer's time."""
    yield from map(figures_of, compare_steps_on(own_plan(LARGE), place.torch_device))


def memory(place: Place) -> Iterator[Figures]:
    """Goal: at most 1.02 of nnUNetTrainer's."""
    yield from map(figures_of, compare_memory_on(own_plan(LARGE), place.torch_device))


def loops_with_1_worker(place: Place) -> Iterator[Figures]:
    """Goal: at least 2 where so few starve the GPU, and never below 1."""
    yield from _loops(own_plan(LARGE), place, 1)


def loops_with_4_workers(place: Place) -> Iterator[Figures]:
    """Likewise."""
    yield from _loops(own_plan(LARGE), place, 4)


def loops_with_8_workers(place: Place) -> Iterator[Figures]:
    """Goal: never below 1."""
    yield from _loops(own_plan(LARGE), place, 8)


def own_dataset(place: Place) -> Iterator[Figures]:
    """The plan that nnU-Net makes for the user's data set."""
    if place.dataset is None:
        yield {"nothing": "no --dataset was named"}
        return
    plan = own_plan(GivenDataset(place.dataset))
    yield from map(figures_of, compare_steps_on(plan, place.torch_device))
    yield from _loops(plan, place, 4)


def idle(place: Place) -> Iterator[Figures]:
    """Share of a training loop in which no kernel runs, with four workers."""
    for name, cls in trainers_for(own_plan(LARGE)).items():
        trainer = make_trainer(cls, own_plan(LARGE), place.torch_device)
        with patch.dict(os.environ, nnUNet_n_proc_DA="4"):
            trainer.on_train_start()
        try:
            for _ in range(2 * ITERATIONS_PROFILED):
                trainer.train_step(next(trainer.dataloader_train))
            torch.cuda.synchronize()
            with profile(activities=[ProfilerActivity.CUDA]) as profiled:
                for _ in range(ITERATIONS_PROFILED):
                    trainer.train_step(next(trainer.dataloader_train))
                torch.cuda.synchronize()
        finally:
            trainer.on_train_end()
        yield {"trainer": name, "idle share": idle_share(kernels_of(profiled))}


def kernels_of(profiled: profile) -> list[tuple[float, float]]:
    """Start and end of what ran on the GPU."""
    events = profiled.profiler.kineto_results.events()  # type: ignore[union-attr]
    on_gpu = (e for e in events if e.device_type() == DeviceType.CUDA)
    return [(e.start_ns(), e.start_ns() + e.duration_ns()) for e in on_gpu]


def idle_share(kernels: list[tuple[float, float]]) -> float:
    """Of the time from the first start to the last end, what no interval covers."""
    ordered = sorted(kernels)
    busy, until = 0.0, ordered[0][0]
    for start, end in ordered:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return 1 - busy / (until - ordered[0][0])


def _loops(plan: Plan, place: Place, workers: int) -> Iterator[Figures]:
    findings = compare_loops_on(plan, place.torch_device, workers, SECONDS_OF_A_LOOP, ROUNDS)
    yield from map(figures_of, findings.comparisons)


def figures_of(comparison: Comparison) -> Figures:
    """What a line of the journal says of a comparison."""
    unit = comparison.unit
    return {
        "what": comparison.name,
        "trainer": comparison.candidate,
        "ratio": comparison.ratio.median,
        unit: comparison.candidate_value.median,
        f"{comparison.baseline} {unit}": comparison.baseline_value.median,
        "all": asdict(comparison.ratio),
    }
