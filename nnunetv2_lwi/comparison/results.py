"""What the finished runs of a comparison gave, ready for tables and figures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_lwi.comparison.design import Run
from nnunetv2_lwi.comparison.origin import by_name
from nnunetv2_lwi.comparison.scoring import PLAIN, TEST, Kind, Scores, ScoresByKind, missing
from nnunetv2_lwi.comparison.workplace import Workplace
from nnunetv2_lwi.disk import write_text
from nnunetv2_lwi.planning.settings import flatten

METRICS = ("Dice", "HD95")
AVERAGE = "average"


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Attributes:
        result: of step 2, as :func:`~nnunetv2_lwi.comparison.execution.execute` writes it.
        step1: of step 1, if there was one.
        classes: that are reported; averages are over them.
    """

    run: Run
    place: Workplace
    result: dict[str, Any]
    step1: dict[str, Any] | None
    classes: tuple[str, ...]

    @property
    def origins(self) -> list[dict[str, Any]]:
        """Devices and versions of both steps."""
        return [origin for result in (self.step1, self.result) if result is not None for origin in result["origins"]]

    def scores(self, cases: str, mirroring: str) -> Scores | None:
        """By case and class, or None if they were not made."""
        scores: Scores | None = self.result["scores"].get(cases, {}).get(mirroring)
        return scores

    def scored_cases(self, cases: str, mirroring: str) -> set[tuple[str, str | None]]:
        """Each case with a digest of its files; validation cases, the same for all trainings, without one."""
        files = self.result.get("scored_files", {}).get(mirroring, {}) if cases == TEST else {}
        return {(case, files.get(case)) for case in self.scores(cases, mirroring) or ()}

    def values(self, cases: str, mirroring: str, metric: str, class_name: str) -> NDArray[np.float64]:
        """One value per case in the order of their names; ``average`` is over the classes that are defined."""
        scores = self.scores(cases, mirroring) or {}
        return np.array([_value(scores[case], metric, class_name) for case in sorted(scores)])

    @property
    def step1_iterations(self) -> int:
        """0 without a step 1."""
        return 0 if self.run.training.after is None else self.run.training.after.iterations

    @property
    def probed(self) -> dict[tuple[str, str], float]:
        """AUC of linear probes of step 1, by stage and start; empty without one, or where it was made before there were."""
        areas = (self.step1 or {}).get("probe", {})
        return {(stage, start): area for stage, by_start in areas.items() for start, area in by_start.items()}

    def curve(self) -> tuple[list[int], list[float]]:
        """Iterations, step 1's counted, and nnU-Net's pseudo Dice after each epoch of step 2."""
        dice = self.result["pseudo_dice"]
        each = self.run.training.settings.iterations_per_epoch
        return [self.step1_iterations + each * (epoch + 1) for epoch in range(len(dice))], dice


def undefined_distances(outcome: Outcome, cases: str, mirroring: str) -> int:
    """How many pairs of case and class have no HD95, the class being in the truth alone or in the prediction alone."""
    scores = outcome.scores(cases, mirroring) or {}
    entries = [entry for classes in scores.values() for entry in classes.values()]
    return sum(entry["HD95"] is None and entry["Dice"] is not None for entry in entries)


def _value(classes: dict[str, dict[str, float | None]], metric: str, class_name: str) -> float:
    if class_name != AVERAGE:
        value = classes[class_name][metric]
        return np.nan if value is None else value
    defined = [value for entry in classes.values() if (value := entry[metric]) is not None]
    return fmean(defined) if defined else np.nan


def read_outcomes(runs: Sequence[Run], places: Sequence[Workplace], labels: Sequence[str] | None = None) -> list[Outcome]:
    """Those runs that are finished, in the runs' order, with the scores of the cases that all of them have.

    Args:
        labels: the classes that are reported, in that order; None for all.
    """
    by_key = {place.training.key: place for place in places}
    outcomes = []
    for run in runs:
        place = by_key[run.training.key]
        result, after = read_result(place), run.training.after
        if result is not None and result["scores"]:
            classes = tuple(place.source.class_names().values() if labels is None else labels)
            outcomes.append(Outcome(run, place, result, read_result(by_key[after.key]) if after else None, classes))
    return _with_shared_cases(outcomes)


def read_result(place: Workplace) -> dict[str, Any] | None:
    """What a training gave; None if it is not finished. A file that cannot be read is made again from the checkpoint."""
    try:
        content: dict[str, Any] = json.loads(place.result.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content


def is_done(place: Workplace) -> bool:
    """Whether a training is finished and, of a step 2, every case is scored as this process finds its files."""
    result = read_result(place)
    return result is not None and (place.training.is_step1 or not missing(place, result))


def _with_shared_cases(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Arms are compared on the same cases with the same files: the raw data set may have been another for some.

    A test case that was taken out of the raw data set since does not count any more, where that is at hand.
    """
    shared = {
        kind: {case for case, _ in set.intersection(*(o.scored_cases(*kind) for o in outcomes))} for kind in scored(outcomes)
    }
    for (cases, _), names in shared.items():
        if cases == TEST and (test := outcomes[0].place.source.test_images) is not None:
            names.intersection_update(test.labels)
    restricted = []
    for outcome in outcomes:
        scores: ScoresByKind = {}
        for (cases, how), names in shared.items():
            by_case = outcome.scores(cases, how) or {}
            scores.setdefault(cases, {})[how] = {
                name: {label: by_case[name][label] for label in outcome.classes} for name in sorted(names)
            }
        restricted.append(replace(outcome, result={**outcome.result, "scores": scores}))
    return restricted


def scored(outcomes: Iterable[Outcome]) -> list[Kind]:
    """Every pair of cases and mirroring that all outcomes have: test first, and without mirroring first, as in the paper."""
    kinds = [{(cases, how) for cases, by in o.result["scores"].items() for how in by if by[how]} for o in outcomes]
    return sorted(set.intersection(*kinds), key=lambda kind: (kind[0] != TEST, kind[1] != PLAIN)) if kinds else []


def write_csv(outcomes: Sequence[Outcome], path: Path) -> None:
    """One row a run: arm, cases, seed, iterations, seconds, Dice and HD95 per class, every setting, device and versions."""
    _write_rows([_row(outcome) for outcome in outcomes], path)


def write_curves(outcomes: Sequence[Outcome], path: Path) -> None:
    """One row an epoch of step 2: arm, cases, seed, iterations so far, step 1's counted, and nnU-Net's pseudo Dice."""
    _write_rows(
        [
            {**_names(outcome.run), "iterations": iterations, "pseudo_Dice": f"{dice:.4f}"}
            for outcome in outcomes
            for iterations, dice in zip(*outcome.curve(), strict=True)
        ],
        path,
    )


def _write_rows(rows: Sequence[dict[str, Any]], path: Path) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _step1_seconds(outcome: Outcome) -> float | str:
    """Empty where a step 1's own result is gone."""
    if outcome.step1 is not None:
        return round(outcome.step1["seconds"], 1)
    return 0 if outcome.run.training.after is None else ""


def _names(run: Run) -> dict[str, Any]:
    return {"arm": run.label, "cases": run.cases, "seed": run.seed}


def _row(outcome: Outcome) -> dict[str, Any]:
    run = outcome.run
    row: dict[str, Any] = {
        **_names(run),
        "step1_cases": len(run.training.after.train_cases) if run.training.after else 0,
        "step1_scans": len(run.training.after.scans) if run.training.after else 0,
        "step1_iterations": outcome.step1_iterations,
        "step2_iterations": outcome.result["iterations"],
        "step1_seconds": _step1_seconds(outcome),
        "step2_seconds": round(outcome.result["seconds"], 1),
    }
    for cases, how in scored([outcome]):
        for metric in METRICS:
            for name in (AVERAGE, *outcome.classes):
                values = outcome.values(cases, how, metric, name)
                row[f"{cases}_{how}_{metric}_{name}"] = "" if np.isnan(values).all() else f"{np.nanmean(values):.5f}"
    row |= {f"probe_{stage}_{start}": f"{area:.4f}" for (stage, start), area in outcome.probed.items()}
    row |= {f"lwi.{key}": value for key, value in flatten(run.training.configuration["lwi"]).items()}
    row["patch_size"] = run.training.configuration["patch_size"]
    row["batch_size"] = run.training.configuration["batch_size"]
    return row | {name: "; ".join(values) for name, values in by_name(outcome.origins).items()}
