"""What the validation of a finished step found: means over cases, and every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, nan
from pathlib import PurePosixPath, PureWindowsPath
from statistics import fmean
from typing import Any

from nnunetv2_lwi.datasets.dice import percent
from nnunetv2_lwi.report.curves import Point, plot_points
from nnunetv2_lwi.report.labels import keys_of_summary
from nnunetv2_lwi.report.markup import Html, figure, folded, joined, paragraph, table
from nnunetv2_lwi.report.run import Step, mapping

MANY = 25
"""Cases, of which a table is shown on demand only."""
MEANINGS = {
    "loss": "as trained",
    "order_loss": "as trained",
    "reconstruction_loss": "as trained",
    "reconstruction_loss_of_input": "of handing the masked input through: the reconstruction must be well below it",
}


def step1_validation(step: Step) -> Html | None:
    """Losses and order accuracies; None before they were measured."""
    mean = mapping(step.summary.get("mean"))
    if not mean:
        return None
    chance = step.summary.get("chance_order_accuracy")
    by_chance = "" if chance is None else f"share of slabs named right; chance: {_figure(chance)}"
    rows = [["what", "mean over cases", "meaning"]]
    rows += [[name, _figure(value), MEANINGS.get(name, by_chance)] for name, value in mean.items()]
    return joined(table("Validation of step 1", rows), _features(step.summary), _step1_cases(step.summary, list(mean)))


def _features(summary: Mapping[str, Any]) -> Html | None:
    levels = [mapping(level) for level in _entries(summary.get("features"))]
    if not levels:
        return None
    rows: list[list[Any]] = [["level", "effective rank", "channels"]]
    rows += [[str(n), _figure(one.get("effective_rank")), one.get("channels")] for n, one in enumerate(levels)]
    return table("What the encoder's features span, on whole patches", rows)


def _step1_cases(summary: Mapping[str, Any], names: Sequence[str]) -> Html:
    cases = [mapping(case) for case in _entries(summary.get("metric_per_case"))]
    rows: list[list[Any]] = [["case", *names]]
    rows += [[case.get("case"), *(_figure(case.get(name)) for name in names)] for case in cases]
    return folded(f"Each of {len(cases)} validation cases", table("Validation of step 1 by case", rows))


def dice_tables(step: Step) -> Html:
    """nnU-Net's Dice of the final validation: the mean of every label, each case, and both as a figure."""
    keys = keys_of_summary(step.summary, step.dataset_json)
    if not keys:
        return paragraph("The final validation, which gives the Dice of whole cases, has not been done yet.")
    ending = str(step.dataset_json.get("file_ending", ""))
    cases = [
        (_case(one, ending), mapping(one.get("metrics")))
        for one in map(mapping, _entries(step.summary.get("metric_per_case")))
    ]
    mean = mapping(step.summary.get("mean"))
    means = {name: _dice(mean, key) for name, key in keys.items()}
    by_label = {name: [_dice(metrics, key) for _, metrics in cases] for name, key in keys.items()}
    rows = [["", *keys, "average"], ["mean over cases", *map(percent, means.values()), percent(_mean(means.values()))]]
    by_case = [["case", *keys, "average"]]
    for number, (case, _) in enumerate(cases):
        values = [by_label[name][number] for name in keys]
        by_case.append([case, *map(percent, values), percent(_mean(values))])
    title = f"Dice in %, {len(cases)} validation cases"
    each = table("Dice in % by case", by_case)
    return joined(
        table(title, rows),
        _plot(means, by_label) if cases else None,
        each if len(cases) <= MANY else folded(f"Each of {len(cases)} cases", each),
        paragraph("n/a: neither reference nor prediction has the label; means are over the others."),
    )


def _plot(means: Mapping[str, float], by_label: Mapping[str, Sequence[float]]) -> Html:
    points = [
        Point(place, 100 * means[name], seeds=[100 * value for value in values if isfinite(value)])
        for place, (name, values) in enumerate(by_label.items())
    ]
    alt = f"Dice by label; means: {', '.join(f'{name} {percent(value)}' for name, value in means.items())}"
    drawn = plot_points([points], list(means), ("label", "Dice (%)"), alt, top=102)
    return figure(drawn, "Dice of each label: every case (dots) and the mean over cases (line).")


def _case(entry: Mapping[str, Any], ending: str) -> str:
    """Of one of nnU-Net's entries, by the name of its file, on whatever system it was written."""
    name = PureWindowsPath(PurePosixPath(str(entry.get("prediction_file", "?"))).name).name
    return name.removesuffix(ending)


def _dice(metrics: Mapping[str, Any], key: str) -> float:
    value = mapping(metrics.get(key)).get("Dice")
    return float(value) if isinstance(value, (int, float)) else nan


def _mean(values: Any) -> float:
    defined = [value for value in values if isfinite(value)]
    return fmean(defined) if defined else nan


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else ""


def _entries(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
