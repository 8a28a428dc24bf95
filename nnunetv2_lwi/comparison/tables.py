"""``comparison.md``: the paper's tables, paired differences and learning speed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnunetv2_lwi.comparison.arms import LONGER
from nnunetv2_lwi.comparison.origin import by_name
from nnunetv2_lwi.comparison.pairs import grouped, pair_by_seed, paired_averages
from nnunetv2_lwi.comparison.results import (
    AVERAGE,
    METRICS,
    Outcome,
    scored,
    undefined_distances,
)
from nnunetv2_lwi.comparison.statistics import CONFIDENCE, RESAMPLES, mean_of_defined, paired_difference
from nnunetv2_lwi.handover.probing import RANDOM, STEP1
from nnunetv2_lwi.markdown import table
from nnunetv2_lwi.names import FITTED_CASES

HOW = {"plain": "without mirroring", "mirrored": "with mirroring"}
CASES_ONLY = "cases only"
"""What an interval from a single seed covers."""
SMOOTHED_EPOCHS = 3
"""Pseudo Dice is a mean over so many epochs: one epoch's few validation patches scatter."""


def write_tables(outcomes: Sequence[Outcome], baseline: str, total: int) -> str:
    """The text of comparison.md.

    Args:
        baseline: the arm that the others are compared with.
        total: number of runs in the whole comparison.
    """
    parts = [f"# Comparison: {len(outcomes)} of {total} runs\n"]
    if not outcomes:
        return parts[0]
    parts.append(_how_to_read(outcomes, baseline))
    if mixed := _mixed_origins(outcomes):
        parts.append(f"Not all trainings have the same {', '.join(mixed)}: see comparison.csv.\n")
    if marks := _test_images(outcomes):
        parts.append(f"Step 1 saw images of the test or of validation, without labels: {marks}.\n")
    for cases, how in scored(outcomes):
        number = len(outcomes[0].scores(cases, how) or {})
        for metric in METRICS:
            parts.append(f"## {metric}, {number} {cases} cases, {HOW[how]}{_of_labels(outcomes[0])}\n")
            parts.append(score_table(outcomes, baseline, cases, how, metric))
    if any(outcome.probed for outcome in outcomes):
        parts.append("## What step 1 learned\n")
        parts.append(
            "AUC of linear readouts of its stages on validation cases, mean over all classes and seeds, and of a random "
            f"start's (see nnUNetv2_lwi probe). Fitted on up to {FITTED_CASES} of the cases that step 1 saw, so on fewer "
            "where that saw fewer.\n"
        )
        parts.append(probe_table(outcomes))
    parts.append("## Learning speed\n")
    parts.append(
        "Iterations, step 1's counted, until nnU-Net's pseudo Dice on validation patches (mean over all classes and "
        f"{SMOOTHED_EPOCHS} epochs) reaches what {baseline} ended with, for the same cases and seed. "
        "Mean over the seeds that reached it, and how many did.\n"
    )
    parts.append(speed_table(outcomes))
    return "\n".join(parts)


def _of_labels(outcome: Outcome) -> str:
    """For a heading, where not all classes are reported."""
    every = len(outcome.place.source.class_names())
    return "" if len(outcome.classes) == every else f", {len(outcome.classes)} of {every} classes"


def _mixed_origins(outcomes: Sequence[Outcome]) -> list[str]:
    """In which of device and versions the trainings differ, or a single one that was resumed elsewhere."""
    values = by_name(origin for outcome in outcomes for origin in outcome.origins)
    return [name for name, different in values.items() if len(different) > 1]


def _test_images(outcomes: Sequence[Outcome]) -> str:
    """How many of them each arm's step 1 saw, at most."""
    seen: dict[str, int] = {}
    for outcome in outcomes:
        number = len((outcome.step1 or {}).get("test_images", []))
        seen[outcome.run.label] = max(number, seen.get(outcome.run.label, 0))
    return ", ".join(f"{label} {number}" for label, number in seen.items() if number)


def _how_to_read(outcomes: Sequence[Outcome], baseline: str) -> str:
    seeds = ", ".join(map(str, sorted({outcome.run.seed for outcome in outcomes})))
    baselines = {outcome.run.baseline for outcome in outcomes}
    with_the_same = " with the same swept settings of step 2" if len(baselines) > 1 else ""
    longer = any(outcome.run.longer for outcome in outcomes)
    of_longer = f" {LONGER} has step 1's epochs on top: the difference to it is that at equal total." if longer else ""
    return (
        f"Mean ± standard deviation over seeds ({seeds}), each seed's value being the mean over cases. Dice in %. HD95 "
        "in mm, over the cases that have the class in truth and prediction; without HD95: how many pairs of case and "
        f"class have it in one alone. Difference to {baseline}{with_the_same}: paired by seed, case and class (where a case "
        "has none of the classes and one of the two predicts some, the other has 100), "
        f"{CONFIDENCE:.0%} interval by bootstrap over seeds and cases ({RESAMPLES} resamples). Few seeds make it too "
        f"narrow; from a single seed it covers the cases alone and is marked: {CASES_ONLY}.{of_longer}\n"
    )


def probe_table(outcomes: Sequence[Outcome]) -> str:
    """Rows: labelled cases and arms with a step 1; columns: stages."""
    stages = list(dict.fromkeys(stage for outcome in outcomes for stage, _ in outcome.probed))
    rows = [["labelled cases", "arm", "seeds", *stages]]
    for (count, label), group in grouped(outcomes).items():
        probed = [outcome.probed for outcome in group if outcome.probed]
        if probed:
            means = {key: float(np.mean([areas[key] for areas in probed])) for key in probed[0]}
            cells = (f"{means[stage, STEP1]:.3f} (random {means[stage, RANDOM]:.3f})" for stage in stages)
            seeds = str(len(probed)) if len(probed) == len(group) else f"{len(probed)} of {len(group)}"
            rows.append([str(count), label, seeds, *cells])
    return table(rows) + "\n"


def score_table(outcomes: Sequence[Outcome], baseline: str, cases: str, how: str, metric: str) -> str:
    """Rows: labelled cases and arms; columns: classes, their average and its paired differences to the baseline and, where
    there is one, to a random start with step 1's epochs."""
    names, groups = [*outcomes[0].classes, AVERAGE], grouped(outcomes)
    longer = any(outcome.run.longer for outcome in outcomes)
    rows = [["labelled cases", "arm", "seeds", *names, f"difference to {baseline}"]]
    factor = 100 if metric == "Dice" else 1
    if longer:
        rows[0].append(f"difference to {LONGER}")
    if metric == "HD95":
        rows[0].append("without HD95")
    for (count, label), group in groups.items():
        values = [outcome.values(cases, how, metric, name) for name in names for outcome in group]
        means = np.reshape([mean_of_defined(value) * factor for value in values], (len(names), len(group)))
        references = [group[0].run.baseline, group[0].run.longer][: 1 + longer]
        of_references = [groups.get((count, reference or ""), []) for reference in references]
        differences = [_difference(group, reference, cases, how, metric, factor) for reference in of_references]
        rows.append([str(count), label, str(len(group)), *map(spread, means.tolist()), *differences])
        if metric == "HD95":
            rows[-1].append(spread([undefined_distances(outcome, cases, how) for outcome in group], digits=1))
    return table(rows) + "\n"


def _difference(
    arm: Sequence[Outcome], baseline: Sequence[Outcome], cases: str, how: str, metric: str, factor: float
) -> str:
    averages = paired_averages(arm, baseline, cases, how, metric)
    if averages is None:
        return ""
    result = paired_difference(factor * averages[0], factor * averages[1])
    seeds = len(averages[0])
    covered = "" if seeds > 1 else f", {CASES_ONLY}"
    lacking = "" if seeds == len(arm) else f" ({seeds} of {len(arm)} seeds)"
    return f"{result.mean:+.2f} ({result.low:+.2f} to {result.high:+.2f}{covered}){lacking}"


def speed_table(outcomes: Sequence[Outcome]) -> str:
    """Rows: labelled cases and arms."""
    rows = [["labelled cases", "arm", "iterations", "seeds that reached it"]]
    groups = grouped(outcomes)
    for (count, label), group in groups.items():
        pairs = pair_by_seed(group, groups.get((count, group[0].run.baseline), []))
        needed = [iterations_to_reach(outcome, smoothed(reference.curve()[1])[-1]) for outcome, reference in pairs]
        reached = [value for value in needed if value is not None]
        rows.append([str(count), label, spread(reached, digits=0) if reached else "", f"{len(reached)} of {len(pairs)}"])
    return table(rows) + "\n"


def iterations_to_reach(outcome: Outcome, dice: float) -> int | None:
    """Iterations until the smoothed pseudo Dice is as high, step 1's counted; None if it never is."""
    iterations, curve = outcome.curve()
    return next((i for i, value in zip(iterations, smoothed(curve), strict=True) if value >= dice), None)


def smoothed(curve: Sequence[float]) -> list[float]:
    """Each value averaged with up to two before it."""
    return [float(np.mean(curve[max(0, i + 1 - SMOOTHED_EPOCHS) : i + 1])) for i in range(len(curve))]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean ± standard deviation, of a single value the value; how many there are where some are not defined."""
    defined = [value for value in values if np.isfinite(value)]
    if not defined:
        return ""
    mean = f"{np.mean(defined):.{digits}f}"
    text = mean if len(defined) == 1 else f"{mean} ± {np.std(defined, ddof=1):.{digits}f}"
    return text if len(defined) == len(values) else f"{text} ({len(defined)} of {len(values)} seeds)"
