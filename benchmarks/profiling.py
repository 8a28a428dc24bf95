"""Where the time of an iteration of step 1 and of nnUNetTrainer goes, by torch's profiler, on the CPU."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.datasets import SMALL
from benchmarks.measure import Findings, Spread, Table, take_turns
from benchmarks.plans import Plan, own_plan
from benchmarks.trainers import make_batch, make_trainer, trainers_for

OPERATORS = {
    "optimiser": r"Optimizer\.|linalg_vector_norm|_foreach",
    "convolutions, backward": r"conv.*backward",
    "convolutions, forward": r"conv",
    "normalisation": r"(batch|instance|layer|group)_?norm",
    "activation": r"relu|gelu",
    "interpolation and pooling": r"upsample|interpolate|pool",
}
"""Groups by the names of operators and of autograd's functions, the first that matches; clipping counts as optimiser."""
OTHER = "other"
TRANSFORMATION, LOSSES, HEADS = "of it, transformation", "of it, losses, forward", "of it, order heads, forward"
PARTS = (TRANSFORMATION, LOSSES, HEADS)
"""Of the iteration, with whatever operators they call."""


def profile_iterations(device: torch.device) -> Findings:
    """LWIInit beside nnUNetTrainer, with PlainConvUNet."""
    if device.type != "cpu":
        return Findings(left_out=["profile: it is of the CPU (-device cpu --only profile)"])
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it says on stderr that it starts and stops
    plan = own_plan(SMALL)
    trainers = trainers_for(plan)
    return Findings(tables=[profile_on(plan, {name: trainers[name] for name in ("nnUNetTrainer", "LWIInit")})])


def profile_on(plan: Plan, trainers: dict[str, type]) -> Table:
    """Milliseconds an iteration by group of operators, and of parts of it, turn and turn about."""
    steps = {name: make_marked_step(cls, plan) for name, cls in trainers.items()}
    profiles = take_turns({name: partial(profile_once, step) for name, step in steps.items()})
    rows = [(group, *(cells_of(profiles[name], group) for name in trainers)) for group in (*OPERATORS, OTHER, *PARTS)]
    rows.append(("iteration", *(f"{Spread.of(list(map(total, profiles[name])))} ms" for name in trainers)))
    return Table(f"Where an iteration's time goes on the CPU, {plan}", ("part", *trainers), rows)


def cells_of(profiles: list[dict[str, float]], group: str) -> str:
    """Milliseconds of a group, and its share of all iterations together."""
    times = [groups.get(group, 0.0) for groups in profiles]
    return f"{Spread.of(times)} ms, {sum(times) / sum(map(total, profiles)):.1%}"


def total(groups: dict[str, float]) -> float:
    """Of an iteration."""
    return sum(time for group, time in groups.items() if group not in PARTS)


def make_marked_step(cls: type, plan: Plan) -> Callable[[], object]:
    """A function that trains one iteration, its parts marked for the profiler."""
    trainer = make_trainer(cls, plan, torch.device("cpu"))
    trainer.loss = marked(LOSSES, trainer.loss)
    if hasattr(trainer, "transform"):
        trainer.transform = marked(TRANSFORMATION, trainer.transform)
        heads = trainer.pretext_network.order_heads
        heads.forward = marked(HEADS, heads.forward)
    batch = make_batch(trainer)
    return lambda: trainer.train_step(batch)


def marked(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, under a name in the profile."""

    def run(*args: Any, **kwargs: Any) -> Any:
        with record_function(part):
            return function(*args, **kwargs)

    return run


def profile_once(step: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of one call: by group each operator's own time, its children's apart; of a part everything in it."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    times: dict[str, float] = {}
    for event in profiler.key_averages():
        group = OTHER if event.key in PARTS else group_of(event.key)
        times[group] = times.get(group, 0.0) + event.self_cpu_time_total / 1000
        if event.key in PARTS:
            times[event.key] = event.cpu_time_total / 1000
    return times


def group_of(operator: str) -> str:
    """The first group that an operator's name belongs to."""
    return next((group for group, pattern in OPERATORS.items() if re.search(pattern, operator, re.IGNORECASE)), OTHER)
