"""Tables, csv and picture from made-up results."""

from __future__ import annotations

import csv
import json
import re
import shutil
from copy import deepcopy
from dataclasses import replace
from itertools import product
from threading import Thread

import numpy as np
import pytest
from filelock import FileLock
from matplotlib import rcParams

from nnunetv2_lwi.cli.compare import write_report
from nnunetv2_lwi.comparison import pictures
from nnunetv2_lwi.comparison.plots import draw_comparison, plot_comparison
from nnunetv2_lwi.comparison.results import read_outcomes, scored, write_csv, write_curves
from nnunetv2_lwi.comparison.tables import iterations_to_reach, smoothed, spread, write_tables
from tests.comparison.conftest import EPOCHS, write_result

pytestmark = pytest.mark.draws

DICE = {"random": 0.6, "lwi": 0.7, "lwi_all": 0.5}
ROWS_OF_A_LONGER_START = (("labelled cases", "arm"), (2, "random"), (2, "random_longer"), (2, "lwi"))


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
    cells = row(text, "Dice, 6 validation cases, with mirroring", 2, "lwi")
    chosen = [outcome for outcome in outcomes if outcome.run.arm == "lwi" and outcome.run.cases == 2]
    assert len(chosen) == 2 and cells[2] == "2"
    for cell, name in zip(cells[3:6], ("one", "two", "average"), strict=True):
        means = [100 * np.nanmean(outcome.values("validation", "mirrored", "Dice", name)) for outcome in chosen]
        assert cell == f"{np.mean(means):.2f} ± {np.std(means, ddof=1):.2f}"


def test_chosen_labels_alone_are_averaged_and_reported(runs, outcomes, make_places, tmp_path):
    chosen = read_outcomes(runs, make_places(runs), ["two"])
    assert [outcome.run.label for outcome in chosen] == [outcome.run.label for outcome in outcomes]
    for some, every in zip(chosen, outcomes, strict=True):
        two, average = (every.values("validation", "mirrored", "Dice", name) for name in ("two", "average"))
        np.testing.assert_array_equal(some.values("validation", "mirrored", "Dice", "average"), two)
        assert not np.array_equal(two, average, equal_nan=True)
    text = write_tables(chosen, "random", len(chosen))
    cells = row(text, "Dice, 6 validation cases, with mirroring, 1 of 2 classes", 2, "lwi")
    assert cells[3] == cells[4] and len(cells) == 6
    write_csv(chosen, tmp_path / "chosen.csv")
    head = (tmp_path / "chosen.csv").read_text().splitlines()[0]
    assert "Dice_two" in head and "Dice_one" not in head


def test_differences_have_the_sign_of_arm_minus_baseline_and_the_baseline_has_none(outcomes):
    text = write_tables(outcomes, "random", len(outcomes))
    heading = "Dice, 6 validation cases, with mirroring"
    assert row(text, heading, 2, "random")[-1] == ""
    mean, low, high = map(float, re.findall(r"[+-]\d+\.\d+", row(text, heading, 2, "lwi")[-1]))
    assert 8 < low <= mean <= high < 12
    assert float(re.findall(r"[+-]\d+\.\d+", row(text, heading, 2, "lwi_all")[-1])[0]) < -8


def test_a_longer_random_start_has_a_column_of_differences(make_design, make_places):
    dice = {"random": 0.6, "random_longer": 0.65, "lwi": 0.7}
    runs = make_design(",".join(dice), counts=(2,), budget="added").runs()
    places = make_places(runs)
    for run, place in product(runs, places):
        if place.training in (run.training, run.training.after):
            write_result(place, dice[run.arm])
    text = write_tables(read_outcomes(runs, places), "random", len(runs))
    for heading, columns in (("Dice, 6 validation", slice(-2, None)), ("HD95, 6 validation", slice(-3, -1))):
        names, random, longer, lwi = (row(text, heading, *which)[columns] for which in ROWS_OF_A_LONGER_START)
        assert names == ["difference to random", "difference to random_longer"]
        assert random == ["", ""] and longer[1] == ""
        for cell, expected in zip([longer[0], *lwi], (5, 10, 5) if heading.startswith("Dice") else (0, 0, 0), strict=True):
            assert abs(float(cell.split()[0]) - expected) < 2


def changed(outcome, *, dice=None, hd95=None, drop=(), curve=None):
    """An outcome with other scores: a function of case and class, or None to leave them; without some cases."""
    result = deepcopy(outcome.result)
    scores = result["scores"]["validation"]["mirrored"]
    for case in drop:
        del scores[case]
    for case, classes in scores.items():
        for name, entry in classes.items():
            entry["Dice"] = entry["Dice"] if dice is None else dice(case, name)
            entry["HD95"] = entry["HD95"] if hd95 is None else hd95(case, name)
    return replace(outcome, result=result | ({} if curve is None else {"pseudo_dice": curve}))


def of(outcomes, arm, cases=2):
    return [outcome for outcome in outcomes if outcome.run.arm == arm and outcome.run.cases == cases]


def test_seeds_are_paired_with_their_own(outcomes):
    """Baseline and arm scatter by 10 and 40 over seeds and differ by 2 in each."""
    theirs = [changed(o, dice=lambda *_, v=v: v) for o, v in zip(of(outcomes, "random"), (0.2, 0.6), strict=True)]
    ours = [changed(o, dice=lambda *_, v=v: v) for o, v in zip(of(outcomes, "lwi"), (0.22, 0.62), strict=True)]
    for order in (ours, ours[::-1]):
        text = write_tables([*theirs, *order], "random", 4)
        assert row(text, "Dice, 6 validation cases, with mirroring", 2, "lwi")[-1] == "+2.00 (+2.00 to +2.00)"


def test_a_single_seed_says_that_its_interval_is_over_cases(outcomes):
    text = write_tables([of(outcomes, "random")[0], of(outcomes, "lwi")[0]], "random", 2)
    assert row(text, "Dice, 6 validation cases, with mirroring", 2, "lwi")[-1].endswith(", cases only)")
    assert "cases only" not in row(write_tables(outcomes, "random", 12), "Dice, 6 validation", 2, "lwi")[-1]


def test_hd95_is_compared_over_the_classes_that_both_have(outcomes):
    """The arm misses the far class in one case; elsewhere it is 1 mm worse."""
    theirs = changed(of(outcomes, "random")[0], dice=lambda *_: 0.5, hd95=lambda case, name: {"one": 2.0, "two": 30.0}[name])

    def ours(case, name):
        return None if (case, name) == ("case_3", "two") else {"one": 3.0, "two": 31.0}[name]

    missed = changed(of(outcomes, "lwi")[0], dice=lambda *_: 0.5, hd95=ours)
    text = write_tables([theirs, missed], "random", 2)
    cells = row(text, "HD95, 6 validation cases, with mirroring", 2, "lwi")
    assert cells[-2].startswith("+1.00 (+1.00 to +1.00") and cells[-1] == "1.0"
    assert row(text, "HD95, 6 validation cases, with mirroring", 2, "random")[-1] == "0.0"


def test_arms_are_compared_on_the_cases_that_all_of_them_have(runs, outcomes, make_places):
    places = make_places(runs)
    place = next(place for place in places if place.training.key == runs[0].training.key)
    result = json.loads(place.result.read_text())
    del result["scores"]["validation"]["mirrored"]["case_2"]
    place.result.write_text(json.dumps(result))
    read = read_outcomes(runs, places)
    assert all(set(o.scores("validation", "mirrored")) == {f"case_{i}" for i in (0, 1, 3, 4, 5)} for o in read)
    assert "## Dice, 5 validation cases" in write_tables(read, "random", len(read))


def test_values_are_in_the_order_of_the_cases_names(outcomes):
    backwards = deepcopy(outcomes[0].result)
    scores = backwards["scores"]["validation"]
    scores["mirrored"] = dict(reversed(scores["mirrored"].items()))
    values = replace(outcomes[0], result=backwards).values("validation", "mirrored", "Dice", "one")
    assert values.tolist() == outcomes[0].values("validation", "mirrored", "Dice", "one").tolist()


def test_learning_speed_is_that_of_the_same_seed(outcomes):
    """Each arm ends where its own seed's baseline does, and never where the other's does."""
    curves = [[0.01 * epoch for epoch in range(EPOCHS)], [0.9 + 0.001 * epoch for epoch in range(EPOCHS)]]
    theirs = [changed(o, curve=c) for o, c in zip(of(outcomes, "random"), curves, strict=True)]
    ours = [changed(o, curve=c) for o, c in zip(of(outcomes, "lwi"), curves, strict=True)]
    text = write_tables([*theirs, *ours], "random", 4)
    step1 = ours[0].step1_iterations
    assert row(text, "Learning speed", 2, "lwi")[2:] == [f"{step1 + 2 * EPOCHS} ± 0", "2 of 2"]


def test_a_sweep_of_step2_is_compared_value_by_value(make_design, make_places):
    runs = make_design(counts=(2,), arms="random,lwi", variants=[{"seg.lr": 0.1}, {"seg.lr": 0.01}]).runs()
    places = make_places(runs)
    dice = {"random seg.lr=0.1": 0.5, "lwi seg.lr=0.1": 0.6, "random seg.lr=0.01": 0.8, "lwi seg.lr=0.01": 0.7}
    for place in places:
        write_result(place, next((dice[run.label] for run in runs if run.training.key == place.training.key), 0))
    text = write_tables(read_outcomes(runs, places), "random", len(runs))
    heading = "Dice, 6 validation cases, with mirroring"
    assert [row(text, heading, 2, label)[-1] for label in dice if label.startswith("random")] == ["", ""]
    higher, lower = (float(row(text, heading, 2, f"lwi seg.lr={value}")[-1].split()[0]) for value in (0.1, 0.01))
    assert higher == pytest.approx(10, abs=2) and lower == pytest.approx(-10, abs=2)
    assert "with the same swept settings of step 2" in text


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
    assert lwi["lwi.masking.strategy"] == "random" and lwi["lwi.seg.epochs"] == "21" and lwi["lwi.seed"] == "0"
    assert float(lwi["validation_mirrored_Dice_one"]) == pytest.approx(0.7, abs=0.02)
    assert lwi["validation_mirrored_HD95_one"] == "2.00000" and lwi["validation_mirrored_HD95_two"] == ""
    assert lwi["probe_decoder 1_step 1"] == "0.7500" and lwi["probe_decoder 1_random"] == "0.2500"
    assert {r["probe_decoder 1_step 1"] for r in rows if r["arm"] == "random"} == {""}


def test_curves_have_a_row_an_epoch_of_step_2_after_step_1(outcomes, tmp_path):
    write_curves(outcomes, tmp_path / "curves.csv")
    with (tmp_path / "curves.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["cases"], row["seed"]) == ("2", "0")]
    assert [row["arm"] for row in rows] == ["random"] * EPOCHS + ["lwi"] * 21 + ["lwi_all"] * 21
    each = outcomes[0].run.training.settings.iterations_per_epoch
    random, lwi = ([row for row in rows if row["arm"] == arm] for arm in ("random", "lwi"))
    assert [int(row["iterations"]) for row in random] == [each * epoch for epoch in range(1, EPOCHS + 1)]
    assert int(lwi[0]["iterations"]) == 8 + each
    outcome = next(o for o in outcomes if (o.run.label, o.run.cases, o.run.seed) == ("lwi", 2, 0))
    assert [float(row["pseudo_Dice"]) for row in lwi] == pytest.approx(outcome.result["pseudo_dice"], abs=1e-4)


def test_what_step_1_learned_stands_beside_what_came_of_it(outcomes):
    text = write_tables(outcomes, "random", 12)
    assert row(text, "What step 1 learned", 2, "lwi")[4] == "0.750 (random 0.250)"
    assert "| random |" not in text.split("## What step 1 learned")[1].split("## ")[0]


def test_a_step_1_that_was_not_probed_is_told(outcomes):
    unprobed = [replace(o, step1={**o.step1, "probe": {}}) if o.run.arm == "lwi" and o.run.seed else o for o in outcomes]
    text = write_tables(unprobed, "random", len(outcomes))
    assert row(text, "What step 1 learned", 2, "lwi")[2] == "1 of 2"
    assert row(text, "What step 1 learned", 2, "lwi_all")[2] == "2"


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


def test_a_legend_of_long_names_stays_within_the_picture(outcomes, monkeypatch):
    """Sweeps name their settings."""
    more = " seg.hand_over=all_but_last_two_stages" * 2
    long = [replace(one, run=replace(one.run, arm=one.run.arm + more)) for one in outcomes]
    for drawn in (outcomes, long):
        monkeypatch.setitem(rcParams, "font.size", 25.0)  # as nnU-Net's progress.png leaves it
        figure = plot_comparison(drawn, scored(drawn)[0])
        figure.draw_without_rendering()
        (legend,) = figure.legends
        extent = legend.get_window_extent()
        assert extent.x0 >= 0 and extent.x1 <= figure.bbox.width


def test_the_legend_names_every_arm_though_some_ran_with_few_cases_only(outcomes):
    outcomes = [outcome for outcome in outcomes if outcome.run.arm != "lwi_all" or outcome.run.cases == 2]
    figure = plot_comparison(outcomes, scored(outcomes)[0])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["random", "lwi", "lwi_all"]
    assert not any(axes.get_legend() for axes in figure.axes)


def test_differences_are_drawn_by_seed_with_the_interval_of_the_table(outcomes):
    outcomes = [outcome for outcome in outcomes if outcome.run.arm != "lwi_all" and outcome.run.cases == 2]
    axes = plot_comparison(outcomes, scored(outcomes)[0]).axes[1]
    dots, bars = (next(line for line in axes.lines if line.get_marker() == marker) for marker in (".", "_"))
    ours, theirs = (
        [100 * np.nanmean(one.values("validation", "mirrored", "Dice", "average")) for one in of(outcomes, arm)]
        for arm in ("lwi", "random")
    )
    np.testing.assert_allclose(dots.get_ydata(), np.subtract(ours, theirs))
    told = row(write_tables(outcomes, "random", 4), "Dice, 6 validation", 2, "lwi")[-1]
    mean, low, high = map(float, re.findall(r"[+-]\d+\.\d+", told))
    assert bars.get_ydata() == pytest.approx([low, high], abs=0.005)
    assert np.mean(dots.get_ydata()) == pytest.approx(mean, abs=0.005)
    assert axes.get_ylabel() == "difference to random (points)"


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


def test_step1_counts_though_its_folder_is_gone(outcomes, make_places):
    runs = [outcome.run for outcome in outcomes]
    places = make_places(runs)
    for place in places:
        if place.training.is_step1:
            shutil.rmtree(place.folder)
    later = read_outcomes(runs, places)
    assert [o.step1_iterations for o in later] == [o.step1_iterations for o in outcomes] and later[1].step1_iterations == 8


def with_test_scores(outcome, files):
    scores = {case: {"one": {"Dice": 0.5, "HD95": 1.0}, "two": {"Dice": 0.5, "HD95": 1.0}} for case in files}
    result = {**outcome.result, "scores": {"test": {"plain": scores}}, "scored_files": {"plain": files}}
    outcome.place.result.write_text(json.dumps(result))


def test_test_cases_that_were_corrected_between_the_arms_do_not_count(outcomes, make_places):
    runs = [outcome.run for outcome in outcomes]
    for outcome in outcomes:
        with_test_scores(outcome, {"a": "same", "b": "old" if outcome.run.arm == "random" else "new"})
    later = read_outcomes(runs, make_places(runs))
    assert all(set(outcome.scores("test", "plain")) == {"a"} for outcome in later)


def test_a_test_case_that_was_taken_out_does_not_count_any_more(outcomes, make_places, source, tmp_path):
    runs = [outcome.run for outcome in outcomes]
    for outcome in outcomes:
        with_test_scores(outcome, {"a": "same", "b": "same"})
    for name in ("imagesTs/a_0000", "labelsTs/a"):
        path = tmp_path / "raw" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True)
        path.touch()
    for raw, counted in ((None, {"a", "b"}), (tmp_path / "raw", {"a"})):
        places = [replace(place, source=replace(source, raw=raw)) for place in make_places(runs)]
        assert all(set(outcome.scores("test", "plain")) == counted for outcome in read_outcomes(runs, places))


def test_without_the_files_of_its_cases_a_report_has_tables_and_no_pictures_of_an_earlier_one(
    runs, outcomes, make_places, tmp_path, capsys
):
    """As on a machine without the raw data, or where predictions were deleted."""
    for outcome in outcomes:
        with_test_scores(outcome, {"a": "same", "b": "same"})
    (tmp_path / "report" / "cases").mkdir(parents=True)
    (tmp_path / "report" / "cases" / "lwi_2cases_median.png").touch()
    write_report(tmp_path / "report", runs, make_places(runs))
    assert "## Dice, 2 test cases" in capsys.readouterr().out
    assert list((tmp_path / "report" / "cases").iterdir()) == []


def test_other_versions_and_devices_are_told(outcomes):
    assert "Not all trainings" not in write_tables(outcomes, "random", len(outcomes))
    moved = {"device": "another GPU", "versions": {"nnunetv2": "2.8.1", "torch": "3"}}
    result = outcomes[1].result
    outcomes[1] = replace(outcomes[1], result={**result, "origins": [*result["origins"], moved]})
    text = write_tables(outcomes, "random", len(outcomes))
    assert "Not all trainings have the same device: see comparison.csv." in text


def test_images_of_the_test_that_step_1_saw_are_told(outcomes):
    assert "images of the test" not in write_tables(outcomes, "random", len(outcomes))
    for outcome in outcomes:
        if outcome.run.arm == "lwi_all":
            outcome.step1["test_images"] = ["a", "b"]
    text = write_tables(outcomes, "random", len(outcomes))
    assert "Step 1 saw images of the test or of validation, without labels: lwi_all 2.\n" in text


def test_an_arm_that_invents_a_class_loses_dice(outcomes):
    """Truth and baseline do not have the class: its Dice is not defined there, and 0 for the arm."""
    theirs = [changed(o, dice=lambda case, name: 0.8 if name == "one" else None) for o in of(outcomes, "random")]
    ours = [changed(o, dice=lambda case, name: 0.8 if name == "one" else 0.0) for o in of(outcomes, "lwi")]
    text = write_tables([*theirs, *ours], "random", 4)
    assert row(text, "Dice, 6 validation cases, with mirroring", 2, "lwi")[-1].startswith("-40.00 ")


@pytest.mark.parametrize("invents", ["lwi", "random"])
def test_who_invents_the_only_class_of_a_case_loses_to_who_does_not(outcomes, invents):
    """Neither class is in case_0; one of the two predicts some."""

    def dice(arm):
        return lambda case, name: 0.8 if case != "case_0" else 0.0 if arm == invents else None

    pair = [changed(of(outcomes, arm)[0], dice=dice(arm)) for arm in ("random", "lwi")]
    difference = row(write_tables(pair, "random", 2), "Dice, 6 validation cases, with mirroring", 2, "lwi")[-1]
    assert difference.startswith("-16.67 " if invents == "lwi" else "+16.67 ")
    axes = plot_comparison(pair, scored(pair)[0]).axes[1]
    (dots,) = (line for line in axes.lines if line.get_marker() == ".")
    assert abs(dots.get_ydata()[0]) == pytest.approx(100 / 6) and axes.get_title().endswith("over cases only")


def test_differences_say_which_seeds_they_lack(outcomes):
    text = write_tables([*of(outcomes, "random")[:1], *of(outcomes, "lwi")], "random", 4)
    assert row(text, "Dice, 6 validation", 2, "lwi")[-1].endswith(", cases only) (1 of 2 seeds)")
    assert "of 2 seeds" not in row(write_tables(outcomes, "random", 12), "Dice, 6 validation", 2, "lwi")[-1]


@pytest.mark.parametrize("number", [3, 10, 11, 40])
def test_no_two_arms_have_the_same_colour_and_none_stands_outside(outcomes, number):
    (one,) = of(outcomes, "random")[:1]
    many = [replace(one, run=replace(one.run, arm=f"arm {i}")) for i in range(number)]
    first, _, curves = plot_comparison(many, scored(many)[0]).axes
    assert len({tuple(line.get_color()) for line in curves.lines}) == number
    low, high = first.get_xlim()
    assert all(low < x < high for line in first.lines for x in line.get_xdata())


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([3.0, 5.0], "4.00 ± 1.41"),
        ([3.0], "3.00"),
        ([3.0, 5.0, np.nan], "4.00 ± 1.41 (2 of 3 seeds)"),
        ([3.0, np.nan], "3.00 (1 of 2 seeds)"),
        ([np.nan, np.nan], ""),
    ],
)
def test_a_seed_without_a_value_is_told(values, text):
    assert spread(values) == text
