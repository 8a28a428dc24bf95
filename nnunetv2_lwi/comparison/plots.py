"""``comparison.png``: Dice and its paired differences against labelled cases, and learning curves against iterations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnunetv2_lwi.comparison.pairs import grouped, paired_averages
from nnunetv2_lwi.comparison.results import AVERAGE, Outcome, scored
from nnunetv2_lwi.comparison.statistics import CONFIDENCE, mean_of_defined, paired_difference
from nnunetv2_lwi.comparison.tables import CASES_ONLY, HOW, SMOOTHED_EPOCHS, smoothed
from nnunetv2_lwi.disk import write_picture

LEGEND_HANDLE, LEGEND_CHARACTER = 0.6, 0.085
"""Inches that a legend takes for a handle with its spaces, and for a character of its label."""

Colour = tuple[float, float, float, float]
MOST_COLOURS = 10
"""Of matplotlib's tab10; more arms than that get shades of one scale."""


def draw_comparison(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the picture; nothing if no run is finished."""
    kinds = scored(outcomes)
    if kinds:
        write_picture(path, plot_comparison(outcomes, kinds[0]), dpi=110)


@style.context("default")  # nnU-Net's own plots leave large fonts behind
def plot_comparison(outcomes: Sequence[Outcome], kind: tuple[str, str]) -> Figure:
    """A panel of Dice, one of differences to the baseline, and one of learning curves for each number of labelled cases.

    Args:
        kind: of which cases, and predicted how, Dice is shown.
    """
    counts = sorted({outcome.run.cases for outcome in outcomes})
    labels = list(dict.fromkeys(outcome.run.label for outcome in outcomes))
    colours = dict(zip(labels, _colours(len(labels)), strict=True))
    figure = Figure(figsize=(5.2 * (2 + len(counts)), 4.8), layout="constrained")
    first, second, *others = figure.subplots(1, 2 + len(counts), squeeze=False)[0]
    _draw_dice(first, outcomes, kind, colours)
    _draw_differences(second, outcomes, kind, colours)
    for axes, count in zip(others, counts, strict=True):
        _draw_curves(axes, outcomes, count, colours)
    columns = _columns(labels, figure.get_figwidth())
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize="small")
    return figure


def _colours(number: int) -> list[Colour]:
    """As many as there are arms, no two the same."""
    if number <= MOST_COLOURS:
        return [colormaps["tab10"](i) for i in range(number)]
    return [colormaps["turbo"](value) for value in np.linspace(0.05, 0.95, number)]


def _columns(labels: Sequence[str], width: float) -> int:
    """How many columns of a legend go into a figure's width in inches."""
    of_a_label = LEGEND_HANDLE + LEGEND_CHARACTER * max(map(len, labels))
    return max(1, min(len(labels), int(width / of_a_label)))


def _draw_dice(axes: Axes, outcomes: Sequence[Outcome], kind: tuple[str, str], colours: Mapping[str, Colour]) -> None:
    """Mean over seeds with the seeds' standard deviation as bars; arms stand side by side."""
    cases, how = kind
    groups = grouped(outcomes)
    for label, colour in colours.items():
        points = [(count, group) for (count, name), group in groups.items() if name == label]
        dice = [[100 * np.nanmean(o.values(cases, how, "Dice", AVERAGE)) for o in group] for _, group in points]
        x = [_beside(count, label, colours) for count, _ in points]
        deviation = [np.std(values, ddof=1) if len(values) > 1 else 0 for values in dice]
        axes.errorbar(x, [np.mean(values) for values in dice], deviation, color=colour, marker="o", capsize=3, label=label)
    _over_labelled_cases(axes, outcomes, colours)
    axes.set(ylabel="Dice (%), mean and deviation of seeds", title=f"{cases} cases, {HOW[how]}")


def _draw_differences(axes: Axes, outcomes: Sequence[Outcome], kind: tuple[str, str], colours: Mapping[str, Colour]) -> None:
    """Of each arm to its baseline, paired by seed and case: a dot a seed, their mean, and its interval as bars."""
    groups = grouped(outcomes)
    axes.axhline(0, color="black", linewidth=0.8)
    seeds: set[int] = set()
    for (count, label), group in groups.items():
        averages = paired_averages(group, groups.get((count, group[0].run.baseline), []), *kind, "Dice")
        if averages is None:
            continue
        x, result = _beside(count, label, colours), paired_difference(100 * averages[0], 100 * averages[1])
        of_seeds = 100 * mean_of_defined(averages[0] - averages[1])
        axes.plot([x * 1.007] * len(of_seeds), of_seeds, ".", color=colours[label])
        axes.plot([x, x], [result.low, result.high], "_-", color=colours[label])
        axes.plot([x], [result.mean], "o", color=colours[label])
        seeds.add(len(averages[0]))
    _over_labelled_cases(axes, outcomes, colours)
    axes.set_title(f"paired differences, {CONFIDENCE:.0%} interval over {_covered(seeds)}")
    baselines = {outcome.run.baseline for outcome in outcomes}
    baseline = baselines.pop() if len(baselines) == 1 else "the baseline"
    axes.set_ylabel(f"difference to {baseline} (points)")


def _covered(seeds: set[int]) -> str:
    """What intervals from so many seeds cover."""
    if seeds == {1}:
        return CASES_ONLY
    return "cases, and seeds where there are several" if 1 in seeds else "seeds and cases"


def _beside(count: int, label: str, colours: Mapping[str, Colour]) -> float:
    """Where an arm stands, so that arms with as many labelled cases stand side by side."""
    return float(count * 1.03 ** (list(colours).index(label) - len(colours) / 2))


def _over_labelled_cases(axes: Axes, outcomes: Sequence[Outcome], colours: Mapping[str, Colour]) -> None:
    counts = sorted({outcome.run.cases for outcome in outcomes})
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    outermost = [_beside(count, label, colours) for count in counts for label in colours]
    axes.set_xlim(min(counts[0] / 1.3, min(outermost) / 1.02), max(counts[-1] * 1.3, max(outermost) * 1.02))
    axes.set_xlabel("labelled cases")
    axes.grid(alpha=0.3)


def _draw_curves(axes: Axes, outcomes: Sequence[Outcome], count: int, colours: Mapping[str, Colour]) -> None:
    """One thin line a seed, a thick one for their mean; each begins where step 1 ended."""
    for (cases, label), group in grouped(outcomes).items():
        if cases != count:
            continue
        curves = [(outcome.curve()[0], [100 * value for value in smoothed(outcome.curve()[1])]) for outcome in group]
        for iterations, dice in curves:
            axes.plot(iterations, dice, color=colours[label], linewidth=0.5, alpha=0.5)
        shortest = min(len(dice) for _, dice in curves)
        mean = np.mean([dice[:shortest] for _, dice in curves], axis=0)
        axes.plot(curves[0][0][:shortest], mean, color=colours[label], linewidth=1.8)
    axes.set(
        xlabel="iterations, step 1's counted",
        ylabel=f"pseudo Dice (%), mean over {SMOOTHED_EPOCHS} epochs",
        title=f"{count} labelled cases",
        ylim=(0, 100),
    )
    axes.grid(alpha=0.3)
