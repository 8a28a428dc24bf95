"""Where the time of an iteration of step 1 and of nnUNetTrainer goes, by torch's profiler, on the CPU."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.datasets import SMALL
from benchmarks.measure import Findings, Spread, Table, take_turns
from benchmarks.plans import Plan, own_plan
from benchmarks.trainers import make_batch, make_trainer, trainers_for

MARK = "benchmark: "
"""Before the names of the parts of an iteration that are not told by their operators."""

TRANSFORMATION, LOSSES, HEADS, ITERATION = "transformation", "losses", "order heads", "iteration"
OPERATORS = {
    "optimiser": r"Optimizer\.|linalg_vector_norm|_foreach",
    "convolutions, backward": r"ConvolutionBackward|convolution_backward",
    "convolutions, forward": r"aten::conv",
    "normalisation": r"(batch|instance|layer|group)_?norm",
    "activation": r"relu|gelu",
    "interpolation and pooling": r"upsample|interpolate|pool",
}
"""Groups by the names of operators and of autograd's functions, the first that matches; clipping counts as optimiser."""
OTHER = "other"
GROUPS = (*OPERATORS, TRANSFORMATION, HEADS, LOSSES, OTHER)


def profile_iterations(device: torch.device) -> Findings:
    """LWIInit beside nnUNetTrainer, with PlainConvUNet."""
    if device.type != "cpu":
        return Findings(left_out=["profile: it is of the CPU (-device cpu --only profile)"])
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it says on stderr that it starts and stops
    plan = own_plan(SMALL)
    trainers = trainers_for(plan)
    return Findings(tables=[profile_on(plan, {name: trainers[name] for name in ("nnUNetTrainer", "LWIInit")})])


def profile_on(plan: Plan, trainers: dict[str, type]) -> Table:
    """Milliseconds an iteration by group of operators, turn and turn about."""
    steps = {name: make_marked_step(cls, plan) for name, cls in trainers.items()}
    profiles = take_turns({name: partial(profile_once, step) for name, step in steps.items()})
    rows = [(group, *(cells_of(profiles[name], group) for name in trainers)) for group in GROUPS]
    total = [Spread.of([sum(groups.values()) for groups in profiles[name]]) for name in trainers]
    rows.append(("iteration", *(f"{spread} ms" for spread in total)))
    return Table(f"Where an iteration's time goes on the CPU, {plan}", ("part", *trainers), rows)


def cells_of(profiles: list[dict[str, float]], group: str) -> str:
    """Milliseconds of a group, and its share of all iterations together."""
    times = [groups.get(group, 0.0) for groups in profiles]
    share = sum(times) / sum(sum(groups.values()) for groups in profiles)
    return f"{Spread.of(times)} ms, {share:.1%}"


def make_marked_step(cls: type, plan: Plan) -> Callable[[], object]:
    """A function that trains one iteration, its parts marked for the profiler."""
    trainer = make_trainer(cls, plan, torch.device("cpu"))
    trainer.loss = marked(LOSSES, trainer.loss)
    if hasattr(trainer, "transform"):
        trainer.transform = marked(TRANSFORMATION, trainer.transform)
        heads = trainer.pretext_network.order_heads
        heads.forward = marked(HEADS, heads.forward)
    batch = make_batch(trainer)
    return marked(ITERATION, lambda: trainer.train_step(batch))


def marked(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, under a name in the profile."""

    def run(*args: Any, **kwargs: Any) -> Any:
        with record_function(MARK + part):
            return function(*args, **kwargs)

    return run


def profile_once(step: Callable[[], object]) -> dict[str, float]:
    """Milliseconds by group of one call, each event's own time without its children's."""
    events = profiled_events(step)
    marked_parts = parts_by_sequence(events)
    times: dict[str, float] = {}
    for event in events:
        group = group_of(event, marked_parts)
        times[group] = times.get(group, 0.0) + event.self_cpu_time_total / 1000
    return times


def profiled_events(step: Callable[[], object]) -> list[Any]:
    """What the profiler saw of a marked iteration."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    return [event for event in profiler.events() if MARK + ITERATION in names_upwards(event)]


def parts_by_sequence(events: Iterable[Any]) -> dict[int, str | None]:
    """The marked parts, if any, by autograd's sequence numbers, which a gradient's computation shares with its operator.

    An operator that has no gradient carries the number of the next one that has: the last to carry it counts.
    """
    forward = [event for event in events if event.sequence_nr >= 0 and autograd_event(event) is None]
    return {event.sequence_nr: marked_part(event) for event in sorted(forward, key=lambda event: event.time_range.start)}


def group_of(event: Any, marked_parts: Mapping[int, str | None]) -> str:
    """A marked part, forward or backward; else by the names of the operator and of what called it."""
    gradient = autograd_event(event)
    part = marked_part(event) if gradient is None else marked_parts.get(gradient.sequence_nr)
    return part or group_of_names(list(names_upwards(event)))


def autograd_event(event: Any) -> Any | None:
    """The computation of a gradient that an event lies in, if any."""
    while event is not None and not event.name.startswith("autograd::engine"):
        event = event.cpu_parent
    return event


def names_upwards(event: Any) -> Iterator[str]:
    """An event's name, its parent's and so on."""
    while event is not None:
        yield event.name
        event = event.cpu_parent


def marked_part(event: Any) -> str | None:
    """The marked part of the iteration that an event lies in, if any."""
    parts = (name.removeprefix(MARK) for name in names_upwards(event) if name.startswith(MARK))
    return next((part for part in parts if part != ITERATION), None)


def group_of_names(names: Sequence[str]) -> str:
    """The first group that any of the names belongs to."""
    for group, pattern in OPERATORS.items():
        if any(re.search(pattern, name, re.IGNORECASE) for name in names):
            return group
    return OTHER
