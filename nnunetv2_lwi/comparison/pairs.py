"""The runs of an arm beside those that it is compared with: same labelled cases, same seed, case by case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nnunetv2_lwi.comparison.results import AVERAGE, Outcome
from nnunetv2_lwi.comparison.statistics import mean_of_defined


def grouped(outcomes: Sequence[Outcome]) -> dict[tuple[int, str], list[Outcome]]:
    """The seeds of each number of labelled cases and arm, in the order of the work list."""
    groups: dict[tuple[int, str], list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda o: o.run.cases):
        groups.setdefault((outcome.run.cases, outcome.run.label), []).append(outcome)
    return groups


def pair_by_seed(arm: Sequence[Outcome], baseline: Sequence[Outcome]) -> list[tuple[Outcome, Outcome]]:
    """Each outcome of an arm with the baseline's of the same seed, where there is one."""
    by_seed = {outcome.run.seed: outcome for outcome in baseline}
    return [(outcome, by_seed[outcome.run.seed]) for outcome in arm if outcome.run.seed in by_seed]


def paired_averages(
    arm: Sequence[Outcome], baseline: Sequence[Outcome], cases: str, how: str, metric: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(seeds, cases) of the arm and of its baseline, averages over classes, of the seeds with a case that both have.

    None without such a seed, or for the baseline.
    """
    pairs = pair_by_seed(arm, baseline)
    if not pairs or arm[0].run.label == baseline[0].run.label:
        return None
    averages = (average_of_both(ours, theirs, cases, how, metric) for ours, theirs in pairs)
    values = [(ours, theirs) for ours, theirs in averages if np.isfinite(ours - theirs).any()]
    if not values:
        return None
    ours, theirs = (np.stack(column) for column in zip(*values, strict=True))
    return ours, theirs


def average_of_both(
    arm: Outcome, baseline: Outcome, cases: str, mirroring: str, metric: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each, a value per case: the mean over its classes; of HD95, over those that are defined in both.

    HD95 is not defined where a class was missed: without this, an arm would gain by missing what is far off. Dice is not
    defined where a class is in neither truth nor prediction; an arm that invents it has 0 there, and that must count. So
    where a case has no class at all and one of the two invents some, the other was right: its Dice is 1.
    """
    if metric == "Dice":
        ours, theirs = (outcome.values(cases, mirroring, metric, AVERAGE) for outcome in (arm, baseline))
        return _right_where_alone(ours, theirs), _right_where_alone(theirs, ours)
    both = [
        np.stack([outcome.values(cases, mirroring, metric, name) for name in arm.classes], axis=-1)
        for outcome in (arm, baseline)
    ]
    defined = np.isfinite(both).all(axis=0)
    ours, theirs = (mean_of_defined(np.where(defined, values, np.nan)) for values in both)
    return ours, theirs


def _right_where_alone(dice: NDArray[np.float64], of_the_other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(dice) & ~np.isnan(of_the_other), 1.0, dice)
