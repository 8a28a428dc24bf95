"""Timing things side by side: turn and turn about in one run, so that a machine whose speed drifts still compares."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from torch.utils.benchmark import timer

Value = TypeVar("Value")

REPEATS = 5
"""Rounds that are measured, after one that is not."""


@dataclass(frozen=True)
class Spread:
    """Least, middle and greatest of several measurements."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of any number of values."""
        return cls(min(values), statistics.median(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.minimum:.3g} to {self.maximum:.3g})"


@dataclass(frozen=True)
class Comparison:
    """``candidate`` over ``baseline``.

    Attributes:
        ratio: of round to round, in which both were measured.
        goal: the ratio's upper limit, if there is one; its lower limit where more is better.
    """

    name: str
    candidate: str
    baseline: str
    unit: str
    candidate_value: Spread
    baseline_value: Spread
    ratio: Spread
    goal: float | None = None
    more_is_better: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        candidate: str,
        baseline: str,
        unit: str,
        rounds: Mapping[str, Sequence[float]],
        *,
        goal: float | None = None,
        more_is_better: bool = False,
    ) -> Comparison:
        """Of two of the things that were measured in the same ``rounds``."""
        values, others = rounds[candidate], rounds[baseline]
        ratio = Spread.of([value / other for value, other in zip(values, others, strict=True)])
        spreads = Spread.of(values), Spread.of(others), ratio
        return cls(name, candidate, baseline, unit, *spreads, goal, more_is_better)


@dataclass(frozen=True)
class Table:
    """Figures that are no comparison of two things, as text."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass
class Findings:
    """What a section measured, and what it left out and why."""

    comparisons: list[Comparison] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Append what another section found."""
        self.comparisons += other.comparisons
        self.tables += other.tables
        self.left_out += other.left_out


def take_turns(
    measures: Mapping[str, Callable[[], Value]], repeats: int = REPEATS, *, warm_ups: int = 1
) -> dict[str, list[Value]]:
    """Call each in turn, ``warm_ups`` rounds and ``repeats`` more; returns what each gave in the latter, round by round."""
    rounds: dict[str, list[Value]] = {name: [] for name in measures}
    for number in range(warm_ups + repeats):
        for name, measure in measures.items():
            value = measure()
            if number >= warm_ups:
                rounds[name].append(value)
    return rounds


def time_rounds(
    functions: Mapping[str, Callable[[], object]], *, repeats: int = REPEATS, calls: int = 1
) -> dict[str, list[float]]:
    """Milliseconds a call, round by round, each round being ``calls`` calls of each function."""

    def timed(function: Callable[[], object]) -> Callable[[], float]:
        return lambda: 1000 * seconds(function, calls) / calls

    return take_turns({name: timed(function) for name, function in functions.items()}, repeats)


def compare(
    name: str,
    candidate: tuple[str, Callable[[], object]],
    baseline: tuple[str, Callable[[], object]],
    *,
    repeats: int = REPEATS,
    calls: int = 1,
    goal: float | None = None,
) -> Comparison:
    """Time two functions, turn and turn about."""
    rounds = time_rounds(dict((candidate, baseline)), repeats=repeats, calls=calls)
    return Comparison.of(name, candidate[0], baseline[0], "ms", rounds, goal=goal)


def seconds(function: Callable[[], object], calls: int) -> float:
    """How long ``calls`` calls take, the accelerator's work included."""
    start = timer()
    for _ in range(calls):
        function()
    return timer() - start
