"""``comparison.md``: the paper's tables, paired differences and learning speed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nnunetv2_lwi.comparison.results import AVERAGE, METRICS, Outcome, class_names, scored
from nnunetv2_lwi.comparison.statistics import CONFIDENCE, RESAMPLES, paired_difference

HOW = {"plain": "without mirroring", "mirrored": "with mirroring"}
SMOOTHED_EPOCHS = 3
"""Pseudo Dice is a mean over so many epochs: one epoch's few validation patches scatter."""


def write_tables(outcomes: Sequence[Outcome], baseline: str, total: int) -> str:
    """The text of comparison.md.

    Args:
        baseline: label of the arm that the others are compared to.
        total: number of runs in the whole comparison.
    """
    parts = [f"# Comparison: {len(outcomes)} of {total} runs\n"]
    if not outcomes:
        return parts[0]
    seeds = sorted({outcome.run.seed for outcome in outcomes})
    parts.append(
        f"Mean ± standard deviation over seeds ({', '.join(map(str, seeds))}), each seed's value being the mean over cases. "
        "Dice in %, HD95 in mm over the cases that have the class in truth and prediction. "
        f"Difference to {baseline}: paired by seed and case, {CONFIDENCE:.0%} interval by bootstrap over both "
        f"({RESAMPLES} resamples; few seeds make it too narrow).\n"
    )
    for cases, how in scored(outcomes):
        for metric in METRICS:
            parts.append(f"## {metric}, {cases} cases, {HOW[how]}\n")
            parts.append(score_table(outcomes, baseline, cases, how, metric))
    parts.append("## Learning speed\n")
    parts.append(
        "Iterations, step 1's counted, until nnU-Net's pseudo Dice on validation patches (mean over "
        f"{SMOOTHED_EPOCHS} epochs) reaches what {baseline} ended with, for the same cases and seed. "
        "Mean over the seeds that reached it, and how many did.\n"
    )
    parts.append(speed_table(outcomes, baseline))
    return "\n".join(parts)


def score_table(outcomes: Sequence[Outcome], baseline: str, cases: str, how: str, metric: str) -> str:
    """Rows: labelled cases and arms; columns: classes, their average and its paired difference to the baseline."""
    names = [*class_names(outcomes[0]), AVERAGE]
    rows = [["labelled cases", "arm", "seeds", *names, f"difference to {baseline}"]]
    factor = 100 if metric == "Dice" else 1
    for (count, label), group in grouped(outcomes).items():
        means = {n: [_mean(outcome.values(cases, how, metric, n)) * factor for outcome in group] for n in names}
        difference = _difference(group, grouped(outcomes).get((count, baseline), []), cases, how, metric, factor)
        rows.append([str(count), label, str(len(group)), *(spread(means[n]) for n in names), difference])
    return table(rows)


def _difference(
    arm: Sequence[Outcome], baseline: Sequence[Outcome], cases: str, how: str, metric: str, factor: float
) -> str:
    pairs = [(a, b) for a in arm for b in baseline if a.run.seed == b.run.seed and a is not b]
    if not pairs or arm[0].run.label == baseline[0].run.label:
        return ""
    ours, theirs = (
        np.stack([o.values(cases, how, metric, AVERAGE) for o in column]) * factor for column in zip(*pairs, strict=True)
    )
    result = paired_difference(ours, theirs)
    return f"{result.mean:+.2f} ({result.low:+.2f} to {result.high:+.2f})"


def speed_table(outcomes: Sequence[Outcome], baseline: str) -> str:
    """Rows: labelled cases and arms."""
    rows = [["labelled cases", "arm", "iterations", "seeds that reached it"]]
    groups = grouped(outcomes)
    for (count, label), group in groups.items():
        references = {outcome.run.seed: outcome for outcome in groups.get((count, baseline), [])}
        paired = [(outcome, references[outcome.run.seed]) for outcome in group if outcome.run.seed in references]
        needed = [iterations_to_reach(outcome, smoothed(reference.curve()[1])[-1]) for outcome, reference in paired]
        reached = [value for value in needed if value is not None]
        rows.append([str(count), label, spread(reached, digits=0) if reached else "", f"{len(reached)} of {len(paired)}"])
    return table(rows)


def iterations_to_reach(outcome: Outcome, dice: float) -> int | None:
    """Iterations until the smoothed pseudo Dice is as high, step 1's counted; None if it never is."""
    iterations, curve = outcome.curve()
    return next((i for i, value in zip(iterations, smoothed(curve), strict=True) if value >= dice), None)


def smoothed(curve: Sequence[float]) -> list[float]:
    """Each value averaged with up to two before it."""
    return [float(np.mean(curve[max(0, i + 1 - SMOOTHED_EPOCHS) : i + 1])) for i in range(len(curve))]


def grouped(outcomes: Sequence[Outcome]) -> dict[tuple[int, str], list[Outcome]]:
    """The seeds of each number of labelled cases and arm, in the order of the work list."""
    groups: dict[tuple[int, str], list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda o: o.run.cases):
        groups.setdefault((outcome.run.cases, outcome.run.label), []).append(outcome)
    return groups


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean ± standard deviation; of a single value, the value."""
    if not values or np.isnan(values).all():
        return ""
    mean = f"{np.nanmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.nanstd(values, ddof=1):.{digits}f}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """In Markdown; the first row is the head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:], ""])


def _mean(values: NDArray[np.float64]) -> float:
    return float("nan") if not len(values) or np.isnan(values).all() else float(np.nanmean(values))
