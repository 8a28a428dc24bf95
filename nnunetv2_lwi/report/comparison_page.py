"""The page of a comparison: its tables, what they show as figures, runs, settings and where they come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from nnunetv2_lwi.jobs.status import FINISHED
from nnunetv2_lwi.report.comparison import (
    Part,
    Table,
    TrainingState,
    name_of,
    read_parts,
    read_runs,
    read_text,
    read_trainings,
    score_column,
)
from nnunetv2_lwi.report.curves import Point, legend, plot_points
from nnunetv2_lwi.report.markup import Html, facts, figure, folded, joined, paragraph, table, tag
from nnunetv2_lwi.report.page import Section, section, subheading, whole_page
from nnunetv2_lwi.report.pictures import read_pictures, shown_pictures
from nnunetv2_lwi.report.settings import settings_of

INTERVAL = re.compile(r"([+-][\d.]+) \(([+-][\d.]+) to ([+-][\d.]+)")
DIFFERENCE = "difference to "
"""Begins the heads of columns that hold differences."""
Run = dict[str, str]
OF_A_RUN = (
    "arm",
    "cases",
    "seed",
    "step1_cases",
    "step1_scans",
    "step1_iterations",
    "step2_iterations",
    "step1_seconds",
    "step2_seconds",
)
OF_AN_ARM = ("labelled cases", "arm", "seeds")
"""The first columns of comparison.md's tables."""
MOST_OF_ALL = 2
"""Columns: the average and the difference come last, after classes that users may name so."""
OTHER_SETTINGS = ("patch_size", "batch_size")
SEED = "lwi.seed"
OF_THE_PICTURES = 5_000_000
"""Bytes; those of the page are a third more."""


def comparison_page(folder: Path) -> str:
    """The text of the file; of a comparison without tables yet, how its trainings stand."""
    parts, runs, trainings = read_parts(read_text(folder / "comparison.md")), read_runs(folder), list(read_trainings(folder))
    head, *others = parts or [Part("Comparison: no run is finished, or no tables were written")]
    sections = [_figures(others, runs)] if runs else []
    sections += [section(part.title, *map(_block, part.blocks)) for part in others]
    sections += [_pictures(folder), _runs(runs)] if runs else []
    sections += [_trainings(trainings), _settings(runs, trainings), _provenance(folder, runs, trainings)]
    introduction = joined(
        paragraph(tag("strong", head.title)), *map(_block, head.blocks), _unfinished(trainings, bool(parts))
    )
    return whole_page(f"Comparison of {name_of(folder)}", introduction, sections)


def _block(block: str | Table) -> Html:
    """A paragraph, or a table; what looks like a table and is none is shown as it was written."""
    if isinstance(block, list):
        by_arm = "arm" in block[0]
        caption = "By labelled cases and arm" if by_arm else "Table"
        return table(caption, what_counts_first(block), row_heads=2 if by_arm else 1, kind="scores")
    return tag("pre", block) if block.startswith("|") else paragraph(block)


def what_counts_first(rows: Table) -> Table:
    """The average and the difference before the single classes: of many, a screen shows the first ones only."""
    head = rows[0]
    first = [n for n, name in enumerate(head) if n < len(OF_AN_ARM) and name in OF_AN_ARM]
    last = [n for n, name in enumerate(head) if name == "average" or name.startswith("difference to ")][-MOST_OF_ALL:]
    first += [n for n in last if n not in first]
    order = first + [n for n in range(len(head)) if n not in first]
    return [[row[n] for n in order] for row in rows]


def _unfinished(trainings: Sequence[TrainingState], with_tables: bool) -> Html | None:
    left = [one for one in trainings if one.state != FINISHED]
    texts = [f"{len(left)} of {len(trainings)} trainings that were begun are not finished."] if left else []
    if not with_tables:
        texts.append("There are no tables yet: nnUNetv2_lwi compare with --report writes those of the finished runs.")
    return tag("div", *map(paragraph, texts), class_="notice") if texts else None


def _figures(parts: Sequence[Part], runs: Sequence[Run]) -> Section:
    arms = list(dict.fromkeys(run["arm"] for run in runs))
    places = sorted({run["cases"] for run in runs}, key=int)
    column = score_column(runs)
    drawn = [] if column is None else [_dice(runs, arms, places, column)]
    drawn += [one for part in parts if part.title.startswith("Dice") for one in _differences(part, arms, places)]
    names = legend([(arm, number, False) for number, arm in enumerate(arms)])
    return section("Figures", names, tag("div", *drawn, class_="plots"))


def _dice(runs: Sequence[Run], arms: Sequence[str], places: Sequence[str], column: str) -> Html:
    """Every run's Dice, and the mean over the seeds."""
    groups = []
    for arm in arms:
        values = {
            count: [100 * float(run[column]) for run in runs if (run["arm"], run["cases"]) == (arm, count) and run[column]]
            for count in places
        }
        groups.append([Point(places.index(count), fmean(seeds), seeds=seeds) for count, seeds in values.items() if seeds])
    kind = " ".join(column.split("_")[:2])
    drawn = plot_points(
        groups, places, ("labelled cases", "Dice (%)"), f"Dice of every run, {kind} cases; the runs' table has the values"
    )
    return figure(drawn, f"Dice, average over classes, {kind} cases: a dot a seed, and their mean.")


def _differences(part: Part, arms: Sequence[str], places: Sequence[str]) -> list[Html]:
    """Of each column of a table of Dice that holds some."""
    figures = []
    for head, *body in (block for block in part.blocks if isinstance(block, list)):
        for title in (name for name in head if name.startswith(DIFFERENCE)):
            points = _with_intervals([(row[0], row[1], row[head.index(title)]) for row in body], arms, places)
            if any(points):
                alt = f"{part.title}: {title} with its interval; the table below has the values"
                drawn = plot_points(points, places, ("labelled cases", "difference in Dice"), alt)
                figures.append(figure(drawn, f"{part.title}: {title}, with its interval."))
    return figures


def _with_intervals(cells: Sequence[tuple[str, str, str]], arms: Sequence[str], places: Sequence[str]) -> list[list[Point]]:
    """By arm, of cells each after its number of labelled cases and its arm."""
    points: list[list[Point]] = [[] for _ in arms]
    for count, arm, cell in cells:
        match = INTERVAL.match(cell)
        if match is not None and arm in arms and count in places:
            value, low, high = map(float, match.groups())
            points[arms.index(arm)].append(Point(places.index(count), value, low, high))
    return points


def _pictures(folder: Path) -> Section:
    whole = read_pictures([folder / "comparison.png"], OF_THE_PICTURES)
    left = OF_THE_PICTURES - sum(map(len, whole.values()))
    paths = sorted((folder / "cases").glob("*.png"))
    cases = read_pictures(paths, left)
    fewer = len(paths) - len(cases)
    return section(
        "Pictures",
        shown_pictures(whole, "Dice against labelled cases, and learning curves"),
        subheading("Cases of the largest gain, the median and the largest loss") if cases else None,
        shown_pictures(cases, "case"),
        paragraph(f"{fewer} more are in the folder {folder.name}/cases.") if fewer else None,
    )


def _runs(runs: Sequence[Run]) -> Section:
    scores = [column for column in runs[0] if column.endswith("_average")]
    columns = [column for column in (*OF_A_RUN, *scores) if column in runs[0]]
    rows = [columns, *([run[column] for column in columns] for run in runs)]
    every = [column for column in runs[0] if re.match(r"(test|validation)_|probe_", column)]
    whole = [
        ["arm", "cases", "seed", *every],
        *([run["arm"], run["cases"], run["seed"], *(run[c] for c in every)] for run in runs),
    ]
    return section(
        "Runs",
        table("Every finished run", rows),
        folded("Every score of every run", table("Scores", whole, row_heads=3)),
    )


def _trainings(trainings: Sequence[TrainingState]) -> Section:
    rows: list[list[Any]] = [["training", "state", "epoch", "training cases", "seed", "iterations", "seconds", "by"]]
    for one in trainings:
        standing, lwi = one.standing, one.configuration.get("lwi", {})
        epoch = "" if standing is None or standing.epoch is None else f"{standing.epoch} of {standing.epochs}"
        seconds = one.result.get("seconds")
        rows.append(
            [
                one.name,
                one.state,
                epoch,
                "" if one.train_cases is None else one.train_cases,
                lwi.get("seed", "") if isinstance(lwi, dict) else "",
                one.result.get("iterations", ""),
                f"{seconds:.0f}" if isinstance(seconds, (int, float)) else "",
                "" if standing is None or standing.by is None else standing.by,
            ]
        )
    return section("Trainings", table("Every training that was begun", rows) if trainings else paragraph("None was begun."))


def _settings(runs: Sequence[Run], trainings: Sequence[TrainingState]) -> Section:
    """What all runs have in common, and what differs between them."""
    if not runs:
        return section("Settings", *_planned(trainings))
    names = [column for column in runs[0] if column.startswith("lwi.") or column in OTHER_SETTINGS]
    values = {name: list(dict.fromkeys(run[name] for run in runs)) for name in names}
    same = {name: one[0] for name, one in values.items() if len(one) == 1}
    different = [name for name, one in values.items() if len(one) > 1 and name != SEED]
    rows = [["arm", "cases", *different], *([run["arm"], run["cases"], *(run[name] for name in different)] for run in runs)]
    once = [list(row) for row in dict.fromkeys(map(tuple, rows))]
    return section(
        "Settings",
        table("What differs between the runs", once, row_heads=2) if different else None,
        folded(f"{len(same)} settings that are the same for all runs", facts("Settings of all runs", same)),
    )


def _planned(trainings: Sequence[TrainingState]) -> list[Html]:
    known = [one.configuration for one in trainings if one.configuration]
    return [paragraph("Those of one of the trainings:"), settings_of(known[0])] if known else [paragraph("Not known yet.")]


def _provenance(folder: Path, runs: Sequence[Run], trainings: Sequence[TrainingState]) -> Section:
    """Devices and versions, all of them where they differ."""
    values: dict[str, dict[str, None]] = {}
    for run in runs:
        for name in (column for column in run if column == "device" or column.startswith("version.")):
            values.setdefault(name, {})[run[name]] = None
    found = {name: "; ".join(filter(None, different)) for name, different in values.items()}
    mixed = [name for name, different in values.items() if len(different) > 1]
    return section(
        "Provenance",
        facts("The comparison", {"folder": str(folder.absolute()), "runs": len(runs), "trainings": len(trainings)}),
        facts("Devices and versions of the finished runs", found) if found else None,
        paragraph(f"Not the same for all runs: {', '.join(mixed)}.") if mixed else None,
    )
