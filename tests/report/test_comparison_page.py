"""The page of a comparison, read back and compared with its tables."""

from __future__ import annotations

import csv

import pytest

from nnunetv2_lwi.comparison.plots import draw_comparison
from nnunetv2_lwi.comparison.results import read_outcomes, write_csv
from nnunetv2_lwi.comparison.tables import write_tables
from tests.comparison.conftest import make_design, make_places, source, write_result  # noqa: F401
from tests.report.conftest import run_report
from tests.report.reading import read_page

pytestmark = pytest.mark.draws

DICE = {"random": 0.6, "lwi": 0.7, "lwi_all": 0.5}


@pytest.fixture
def places(make_design, make_places):  # noqa: F811
    return make_design().runs(), make_places(make_design().runs())


def finish(runs, trainings, tmp_path):
    """The folder of a comparison whose trainings have all ended."""
    for run in runs:
        for place in trainings:
            after = run.training.after
            if place.training.key in (run.training.key, after.key if after else None):
                place.prepare()
                write_result(place, DICE.get(run.arm, 0.65))
    folder, outcomes = tmp_path / "comparison", read_outcomes(runs, trainings)
    write_csv(outcomes, folder / "comparison.csv")
    (folder / "comparison.md").write_text(write_tables(outcomes, "random", len(runs)), encoding="utf-8")
    draw_comparison(outcomes, folder / "comparison.png")
    return folder


@pytest.fixture
def folder(places, tmp_path):
    """Of a finished comparison of three arms."""
    return finish(*places, tmp_path)


def rows_of_markdown(text, heading):
    section = text.split(f"## {heading}")[1].split("##")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line[2:-2].split(" | ")] for line in lines]


def test_tables_are_those_of_the_comparison(folder):
    run_report("-i", folder)
    page = read_page(folder / "report.html")
    heading = "Dice, 6 validation cases, with mirroring"
    head, *rows = rows_of_markdown((folder / "comparison.md").read_text(), heading)
    shown = page.tables["By labelled cases and arm"]
    assert shown[0] == ["labelled cases", "arm", "seeds", "average", "difference to random", "one", "two"]
    assert len(shown) == 1 + len(rows) == 7
    for row, theirs in zip(shown[1:], rows, strict=True):
        assert dict(zip(shown[0], row, strict=True)) == dict(zip(head, theirs, strict=True))
    assert (2, heading) in page.headings and (2, "Learning speed") in page.headings
    assert "12 of 12 runs" in page.text


def test_runs_settings_and_provenance_are_those_of_the_csv(folder):
    run_report("-i", folder)
    page = read_page(folder / "report.html")
    with (folder / "comparison.csv").open() as file:
        runs = list(csv.DictReader(file))
    shown = page.tables["Every finished run"]
    assert [dict(zip(shown[0], row, strict=True)) for row in shown[1:]] == [{k: run[k] for k in shown[0]} for run in runs]
    assert "validation_mirrored_Dice_average" in shown[0]
    assert page.row("Settings of all runs", "lwi.masking.ratio")["value"] == "0.4"
    assert "lwi.seg.epochs" in page.tables["What differs between the runs"][0]
    assert page.row("Devices and versions of the finished runs", "device")["value"] == "a GPU"
    states = {row[0]: row[1] for row in page.tables["Every training that was begun"][1:]}
    assert set(states.values()) == {"finished"} and len(states) == len(list((folder / "trainings").iterdir()))


def test_a_figure_shows_each_difference(folder):
    run_report("-i", folder)
    page = read_page(folder / "report.html")
    drawn = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg" and "aria-label" in attributes]
    assert len(drawn) == 2 and "difference to random with its interval" in drawn[1]
    assert any(a.get("src", "").startswith("data:image/png") for tag, a in page.tags if tag == "img")


def test_every_column_of_differences_has_its_figure(make_design, make_places, tmp_path):  # noqa: F811
    """To a random start with step 1's epochs, too."""
    runs = make_design("random,random_longer,lwi", counts=(2,), budget="added").runs()
    folder = finish(runs, make_places(runs), tmp_path)
    run_report("-i", folder)
    page = read_page(folder / "report.html")
    drawn = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg" and "aria-label" in attributes]
    of_differences = [label.split(": ")[1].split(" with")[0] for label in drawn if "difference to" in label]
    assert of_differences == ["difference to random", "difference to random_longer"]


def test_a_name_that_breaks_a_table_is_shown_as_it_was_written(folder):
    path = folder / "comparison.md"
    path.write_text(path.read_text().replace("| lwi |", "| pretrained:a | <b>.pth |"))
    run_report("-i", folder)
    page = read_page(folder / "report.html")
    assert "pretrained:a | <b>.pth" in page.text and not any(tag == "b" for tag, _ in page.tags)
    assert any(tag == "pre" for tag, _ in page.tags)


def test_a_comparison_that_has_only_begun_has_a_page(places, tmp_path):
    _, trainings = places
    for place in trainings[:2]:
        place.prepare()
    run_report("-i", tmp_path / "comparison")
    page = read_page(tmp_path / "comparison" / "report.html")
    assert "There are no tables yet" in page.text and "2 of 2 trainings that were begun are not finished" in page.text
    assert {row[1] for row in page.tables["Every training that was begun"][1:]} == {"begun"}


def test_a_users_mistake_is_one_line(folder, refused):
    assert "--slices is for a run" in refused("-i", folder, "--slices", "1")
    run_report("-i", folder)
    assert "exists: append --overwrite" in refused("-i", folder)
