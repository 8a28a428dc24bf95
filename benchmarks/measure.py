"""Timing two things side by side: turn and turn about in one run, so that a machine whose speed drifts still compares."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch


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
    """How much of ``baseline``'s cost ``candidate`` takes.

    Attributes:
        goal: the ratio's upper limit, if there is one.
    """

    name: str
    candidate: str
    baseline: str
    unit: str
    candidate_cost: Spread
    baseline_cost: Spread
    ratio: Spread
    goal: float | None = None

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def compare(
    name: str,
    candidate: tuple[str, Callable[[], object]],
    baseline: tuple[str, Callable[[], object]],
    device: torch.device,
    *,
    repeats: int = 7,
    calls: int = 1,
    goal: float | None = None,
) -> Comparison:
    """Time both, a warm-up and ``repeats`` rounds of ``calls`` calls each; ratios are taken round by round."""
    costs: tuple[list[float], list[float]] = ([], [])
    for number in range(repeats + 1):
        for (_, function), seconds in zip((candidate, baseline), costs, strict=True):
            elapsed = _time(function, calls, device)
            if number > 0:
                seconds.append(1000 * elapsed / calls)
    ratios = [a / b for a, b in zip(*costs, strict=True)]
    spreads = [Spread.of(values) for values in (*costs, ratios)]
    return Comparison(name, candidate[0], baseline[0], "ms", *spreads, goal)


def _time(function: Callable[[], object], calls: int, device: torch.device) -> float:
    _wait_for(device)
    start = time.perf_counter()
    for _ in range(calls):
        function()
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
