"""Dice by name, from summaries that nnU-Net's own evaluation wrote."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from nnunetv2.evaluation.evaluate_predictions import compute_metrics, save_summary_json

from nnunetv2_lwi.datasets.dice import Row, dice_by_name, make_row, markdown_table, notes, percent, title_of
from nnunetv2_lwi.errors import UserError

LABELS = {"background": 0, "head": 1, "tail": 2}
REGIONS = {"background": 0, "whole": [1, 2], "tail": [2]}
NAN = float("nan")


class Volumes:
    """Hands nnU-Net arrays in place of files, by name."""

    def __init__(self, volumes: dict[str, list[int]]) -> None:
        self.volumes = volumes

    def read_seg(self, name: str):
        return np.array(self.volumes[name]), {}


CASES = [([1, 1, 2, 0], [1, 0, 2, 0]), ([1, 1, 0, 0], [1, 1, 0, 0])]
"""Reference and prediction; the second case has no tail in either: head 2/3 and 1, tail 1 and NaN, whole 4/5 and 1."""


def write_summary(path: Path, keys: list) -> dict:
    """What nnU-Net writes for the two cases, with the mean that it takes."""
    metrics = []
    for reference, prediction in CASES:
        volumes = Volumes({"reference": reference, "prediction": prediction})
        metrics.append(compute_metrics("reference", "prediction", volumes, keys))
    mean = {key: {"Dice": float(np.nanmean([case["metrics"][key]["Dice"] for case in metrics]))} for key in keys}
    for case in metrics:
        case["metrics"] = {key: {"Dice": float(values["Dice"])} for key, values in case["metrics"].items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_summary_json({"metric_per_case": metrics, "mean": mean, "foreground_mean": {}}, str(path))
    return json.loads(path.read_text())


def row_of(title: str, dice: dict[str, float], total: int = 2) -> Row:
    return Row(title, dice, {name: 0 if math.isnan(value) else total for name, value in dice.items()}, total)


def test_labels_have_their_names_and_the_cases_that_count(tmp_path):
    summary = write_summary(tmp_path / "summary.json", [1, 2])
    row = make_row(tmp_path / "summary.json", summary, LABELS, ["tail", "head"])
    assert list(row.dice) == ["tail", "head"]
    assert row.dice == pytest.approx({"head": (2 / 3 + 1) / 2, "tail": 1.0})
    assert row.cases == {"tail": 1, "head": 2} and row.total == 2
    (note,) = notes([row])
    assert "tail in 1 of 2;" in note and "head" not in note


def test_regions_have_their_names(tmp_path):
    summary = write_summary(tmp_path / "summary.json", [(1, 2), (2,)])
    row = make_row(tmp_path / "summary.json", summary, REGIONS, ["whole", "tail"])
    assert row.dice == pytest.approx({"whole": (4 / 5 + 1) / 2, "tail": 1.0})
    assert row.cases == {"whole": 2, "tail": 1}


def test_a_dice_bears_the_name_of_its_class():
    summary = {"mean": {"1": {"Dice": 0.1}, "(1, 2)": {"Dice": 0.2}, "(2,)": {"Dice": 0.3}, "9": {"Dice": 0.4}}}
    labels = {"background": 0, "head": 1, "whole": [1, 2], "tail": [2]}
    assert dice_by_name(summary, labels) == {"head": 0.1, "whole": 0.2, "tail": 0.3, "9": 0.4}


def test_a_list_of_one_label_without_regions_is_that_label():
    """nnU-Net trains on labels where no list has more than one, and writes the key as a number."""
    assert dice_by_name({"mean": {"2": {"Dice": 0.3}}}, {"background": 0, "tail": [2]}) == {"tail": 0.3}


def test_labels_may_be_text_as_some_converters_write_them():
    summary = {"mean": {"1": {"Dice": 0.5}, "2": {"Dice": 0.25}}}
    assert dice_by_name(summary, {"background": "0", "head": "1", "tail": "2"}) == {"head": 0.5, "tail": 0.25}


def test_the_average_is_over_the_labels_that_have_a_dice():
    assert row_of("a", {"head": 0.5, "tail": 1.0}).average == 0.75
    assert row_of("a", {"head": 0.5, "tail": NAN}).average == 0.5
    assert math.isnan(row_of("a", {"head": NAN}).average)


def test_the_table_is_in_percent_and_says_where_there_is_nothing():
    rows = [row_of("random", {"head": 0.98765, "tail": NAN}), row_of("step 1", {"head": 1.0, "tail": 0.0})]
    assert markdown_table(rows).splitlines() == [
        "| Dice in % | head | tail | average |",
        "|---|---|---|---|",
        "| random | 98.77 | n/a | 98.77 |",
        "| step 1 | 100.00 | 0.00 | 50.00 |",
    ]
    assert len(notes(rows)) == 1 and notes(rows)[0].startswith("random") and "tail in 0 of 2" in notes(rows)[0]
    assert percent(NAN) == "n/a"


def test_a_validation_is_named_by_model_and_fold(tmp_path):
    model = tmp_path / "nnUNetTrainerLWISeg__nnUNetPlans__3d_fullres"
    assert title_of(model / "fold_0" / "validation" / "summary.json") == f"{model.name} fold_0"
    assert title_of(Path("predictions/summary.json")) == "predictions"


@pytest.mark.parametrize(
    "summary",
    [
        {},
        {"mean": {"reconstruction_loss": 0.5}, "metric_per_case": {}},
        {"mean": {"1": {"IoU": 1}}},
        {"mean": {"1": {"Dice": 1}}},
    ],
)
def test_another_summary_is_refused(summary):
    with pytest.raises(UserError, match=r"a/summary\.json is not the summary\.json of nnU-Net's evaluation") as refusal:
        make_row(Path("a/summary.json"), summary, LABELS, ["head"])
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize(("keys", "named"), [([1], "tail"), ([1, 2, (1, 2)], r"\(1, 2\)")])
def test_the_summary_of_another_data_set_is_refused(tmp_path, keys, named):
    summary = write_summary(tmp_path / "summary.json", keys)
    with pytest.raises(UserError, match=f"do not both have {named}:"):
        make_row(tmp_path / "summary.json", summary, LABELS, ["head", "tail"])
