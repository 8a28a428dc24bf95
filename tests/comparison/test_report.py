"""Tables, csv and picture from made-up results."""

from __future__ import annotations

import csv
import re
from threading import Thread

import numpy as np
import pytest
from filelock import FileLock

from nnunetv2_lwi.cli.compare import write_report
from nnunetv2_lwi.comparison import pictures
from nnunetv2_lwi.comparison.plots import draw_comparison, plot_comparison
from nnunetv2_lwi.comparison.results import read_outcomes, scored, write_csv
from nnunetv2_lwi.comparison.tables import iterations_to_reach, smoothed, write_tables
from tests.comparison.conftest import EPOCHS, write_result

DICE = {"random": 0.6, "lwi": 0.7, "lwi_all": 0.5}


@pytest.fixture
def runs(make_design):
    return make_design().runs()


@pytest.fixture
def outcomes(runs, make_places):
    places = make_places(runs)
    for run in runs:
        for place in places:
            if place.training.key == run.training.key or (
                run.training.after and place.training.key == run.training.after.key
            ):
                write_result(place, DICE[run.arm])
    return read_outcomes(runs, places)


def row(text, heading, count, arm):
    section = text.split(f"## {heading}")[1].split("##")[0]
    line = next(line for line in section.splitlines() if line.startswith(f"| {count} | {arm} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_scores_are_means_over_cases_then_seeds(outcomes):
    text = write_tables(outcomes, "random", len(outcomes))
    cells = row(text, "Dice, validation cases, with mirroring", 2, "lwi")
    chosen = [outcome for outcome in outcomes if outcome.run.arm == "lwi" and outcome.run.cases == 2]
    assert len(chosen) == 2 and cells[2] == "2"
    for cell, name in zip(cells[3:6], ("one", "two", "average"), strict=True):
        means = [100 * np.nanmean(outcome.values("validation", "mirrored", "Dice", name)) for outcome in chosen]
        assert cell == f"{np.mean(means):.2f} ± {np.std(means, ddof=1):.2f}"


def test_differences_have_the_sign_of_arm_minus_baseline_and_the_baseline_has_none(outcomes):
    text = write_tables(outcomes, "random", len(outcomes))
    heading = "Dice, validation cases, with mirroring"
    assert row(text, heading, 2, "random")[-1] == ""
    mean, low, high = map(float, re.findall(r"[+-]\d+\.\d+", row(text, heading, 2, "lwi")[-1]))
    assert 8 < low <= mean <= high < 12
    assert float(re.findall(r"[+-]\d+\.\d+", row(text, heading, 2, "lwi_all")[-1])[0]) < -8


def test_a_case_without_a_class_does_not_count_for_it(outcomes):
    values = outcomes[0].values("validation", "mirrored", "Dice", "two")
    assert np.isnan(values[0]) and np.isfinite(values[1:]).all()
    average = outcomes[0].values("validation", "mirrored", "Dice", "average")
    assert average[0] == outcomes[0].values("validation", "mirrored", "Dice", "one")[0]


def test_learning_speed_counts_step1(outcomes):
    lwi = next(outcome for outcome in outcomes if outcome.run.arm == "lwi")
    each, step1 = 2, lwi.step1_iterations
    assert step1 == 4 * each
    assert lwi.curve()[0][0] == step1 + each and lwi.curve()[0][-1] == EPOCHS * each
    curve = smoothed(lwi.curve()[1])
    assert iterations_to_reach(lwi, curve[9]) == step1 + 10 * each
    assert iterations_to_reach(lwi, 1.0) is None
    text = write_tables(outcomes, "random", len(outcomes))
    assert row(text, "Learning speed", 2, "random")[2:] == [f"{EPOCHS * each} ± 0", "2 of 2"]
    assert row(text, "Learning speed", 2, "lwi_all")[2:] == ["", "0 of 2"]


def test_smoothing():
    assert smoothed([3.0, 0.0, 3.0, 6.0]) == [3.0, 1.5, 2.0, 3.0]


def test_csv_has_a_row_a_run_with_settings_and_scores(outcomes, tmp_path):
    write_csv(outcomes, tmp_path / "comparison.csv")
    with (tmp_path / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(outcomes) == 12
    lwi = next(r for r in rows if r["arm"] == "lwi" and r["cases"] == "2")
    assert lwi["step1_iterations"] == "8" and lwi["step1_cases"] == "2" and lwi["step2_seconds"] == "12.3"
    assert lwi["lwi.masking.ratio"] == "0.4" and lwi["lwi.seg.epochs"] == "21" and lwi["lwi.seed"] == "0"
    assert float(lwi["validation_mirrored_Dice_one"]) == pytest.approx(0.7, abs=0.02)
    assert lwi["validation_mirrored_HD95_one"] == "2.00000" and lwi["validation_mirrored_HD95_two"] == ""


def test_a_part_of_the_runs_makes_a_report_too(runs, make_places, tmp_path):
    places = make_places(runs)
    write_result(places[0], 0.5)
    outcomes = read_outcomes(runs, places)
    assert len(outcomes) == 1 and scored(outcomes) == [("validation", "mirrored")]
    assert "1 of 12 runs" in write_tables(outcomes, "random", len(runs))
    draw_comparison(outcomes, tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").stat().st_size > 10_000


def test_no_run_makes_an_empty_report(tmp_path):
    assert "0 of 12" in write_tables([], "random", 12)
    draw_comparison([], tmp_path / "comparison.png")
    assert not list(tmp_path.iterdir())


def test_the_legend_names_every_arm_though_some_ran_with_few_cases_only(outcomes):
    outcomes = [outcome for outcome in outcomes if outcome.run.arm != "lwi_all" or outcome.run.cases == 2]
    figure = plot_comparison(outcomes, scored(outcomes)[0])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["random", "lwi", "lwi_all"]
    assert not any(axes.get_legend() for axes in figure.axes)


def test_processes_that_end_together_take_turns_with_the_report(runs, outcomes, make_places, monkeypatch, tmp_path):
    monkeypatch.setattr(pictures, "draw_cases", lambda *_: [])
    other = Thread(target=write_report, args=(tmp_path, runs, make_places(runs)))
    with FileLock(tmp_path / "report.lock"):
        other.start()
        other.join(0.5)
        assert other.is_alive() and not (tmp_path / "comparison.csv").exists()
    other.join(60)
    assert (tmp_path / "comparison.csv").is_file() and (tmp_path / "comparison.md").is_file()


def test_picture(outcomes, tmp_path):
    draw_comparison(outcomes, tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").stat().st_size > 30_000
