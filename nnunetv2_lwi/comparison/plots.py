"""``comparison.png``: Dice against labelled cases, and learning curves against iterations, step 1's counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnunetv2_lwi.comparison.results import AVERAGE, Outcome, scored
from nnunetv2_lwi.comparison.tables import HOW, SMOOTHED_EPOCHS, grouped, smoothed
from nnunetv2_lwi.disk import write_picture

LEGEND_HANDLE, LEGEND_CHARACTER = 0.6, 0.085
"""Inches that a legend takes for a handle with its spaces, and for a character of its label."""

Colour = tuple[float, float, float, float]


def draw_comparison(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the picture; nothing if no run is finished."""
    kinds = scored(outcomes)
    if kinds:
        write_picture(path, plot_comparison(outcomes, kinds[0]), dpi=110)


@style.context("default")  # nnU-Net's own plots leave large fonts behind
def plot_comparison(outcomes: Sequence[Outcome], kind: tuple[str, str]) -> Figure:
    """One panel of Dice and one of learning curves for each number of labelled cases, with one legend for all.

    Args:
        kind: of which cases, and predicted how, Dice is shown.
    """
    counts = sorted({outcome.run.cases for outcome in outcomes})
    labels = list(dict.fromkeys(outcome.run.label for outcome in outcomes))
    colours = {label: colormaps["tab10"](i % 10) for i, label in enumerate(labels)}
    figure = Figure(figsize=(5.2 * (1 + len(counts)), 4.8), layout="constrained")
    first, *others = figure.subplots(1, 1 + len(counts), squeeze=False)[0]
    _draw_dice(first, outcomes, kind, colours)
    for axes, count in zip(others, counts, strict=True):
        _draw_curves(axes, outcomes, count, colours)
    columns = _columns(labels, figure.get_figwidth())
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize="small")
    return figure


def _columns(labels: Sequence[str], width: float) -> int:
    """How many columns of a legend go into a figure's width in inches."""
    of_a_label = LEGEND_HANDLE + LEGEND_CHARACTER * max(map(len, labels))
    return max(1, min(len(labels), int(width / of_a_label)))


def _draw_dice(axes: Axes, outcomes: Sequence[Outcome], kind: tuple[str, str], colours: Mapping[str, Colour]) -> None:
    """Mean over seeds with the seeds' standard deviation as bars; arms stand side by side."""
    cases, how = kind
    groups = grouped(outcomes)
    for number, (label, colour) in enumerate(colours.items()):
        points = [(count, group) for (count, name), group in groups.items() if name == label]
        dice = [[100 * np.nanmean(o.values(cases, how, "Dice", AVERAGE)) for o in group] for _, group in points]
        x = [count * 1.03 ** (number - len(colours) / 2) for count, _ in points]
        deviation = [np.std(values, ddof=1) if len(values) > 1 else 0 for values in dice]
        axes.errorbar(x, [np.mean(values) for values in dice], deviation, color=colour, marker="o", capsize=3, label=label)
    axes.set_xscale("log")
    counts = sorted({outcome.run.cases for outcome in outcomes})
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlim(counts[0] / 1.3, counts[-1] * 1.3)
    axes.set(xlabel="labelled cases", ylabel="Dice (%)", title=f"{cases} cases, {HOW[how]}")
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
