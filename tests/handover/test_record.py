"""Which run a checkpoint is of: each thing that may differ is told, and nothing else."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover import record as module
from nnunetv2_lwi.handover.record import (
    TEST_SCANS,
    UNLABELLED,
    Record,
    differences,
    make_record,
    only_scans_are_new,
    read_plain,
    read_scans,
    record_of,
)
from nnunetv2_lwi.nnunet.contents import LOCATIONS, Content
from nnunetv2_lwi.nnunet.folders import folder_of
from nnunetv2_lwi.nnunet.split_file import Cases
from nnunetv2_lwi.planning.settings import InitSettings
from nnunetv2_lwi.unlabelled.folder import Entry, UnlabelledFolder

CONFIGURATION = {
    "batch_size": 2,
    "data_identifier": "d",
    "normalization_schemes": ["Z"],
    "use_mask_for_norm": [False],
    "batch_dice": True,
}
DATASET_JSON = {"labels": {"background": 0, "one": 1}, "numTraining": 3}


def content(seed: int) -> Content:
    return Content([1, 4, 4, 4], np.random.default_rng(seed).standard_normal(27).tolist(), f"labels {seed}")


def record(cases: Cases | None = Cases(["b", "a"], ["c"]), reads_labels: bool = True, **changes: Any) -> Record:  # noqa: B008
    plans = {"dataset_name": "D", "foreground_intensity_properties_per_channel": {"0": {"mean": 1.0}}}
    contents = {name: content(number) for number, name in enumerate("abc")}
    return make_record(plans, CONFIGURATION | changes, cases, contents, DATASET_JSON if reads_labels else None)


def test_the_same_run_is_the_same_whatever_the_order_of_its_cases():
    assert differences(record(), record(Cases(["a", "b"], ["c"]))) == []
    assert differences(None, record()) == [], "an earlier version said nothing"
    assert differences(record(), record(None)) == [], "the split is nnU-Net's to draw"


def test_intensities_of_no_foreground_are_the_same_again():
    plans = {"dataset_name": "D", "foreground_intensity_properties_per_channel": {"0": {"mean": float("nan")}}}
    one, other = (make_record(deepcopy(plans), CONFIGURATION, None, {}, None) for _ in range(2))
    assert differences(one, deepcopy(other)) == []
    plans["foreground_intensity_properties_per_channel"]["0"]["mean"] = float("inf")
    assert differences(one, make_record(plans, CONFIGURATION, None, {}, None)) == [
        "plan.intensities.0.mean: 'nan', here 'inf'"
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: r.update(dataset="E"), "the data set was D, here E"),
        (lambda r: r["train"].append("x"), "1 training cases are new: x"),
        (lambda r: r["train"].remove("a"), "1 training cases are gone: a"),
        (lambda r: r["val"].append("a"), "1 validation cases are new: a"),
        (lambda r: r["plan"].update(batch_size=4), "plan.batch_size: 2, here 4"),
        (lambda r: r["plan"].update(batch_dice=False), "plan.batch_dice: True, here False"),
        (lambda r: r["plan"].update(use_mask_for_norm=[True]), "plan.use_mask_for_norm: [False], here [True]"),
        (lambda r: r["plan"]["intensities"]["0"].update(mean=2.0), "plan.intensities.0.mean: 1.0, here 2.0"),
        (lambda r: r["labels"]["labels"].update(one=2), "dataset.json.labels.one: 1, here 2"),
        (
            lambda r: r["contents"].update(b=content(9).plain()),
            "the preprocessed images or labels of 1 cases are others than then: b",
        ),
    ],
)
def test_what_differs_is_told(change, told):
    here = deepcopy(record())
    change(here)
    assert differences(record(), here) == [told]


def test_labels_count_where_they_are_read_alone():
    there, here = (record(reads_labels=False) for _ in range(2))
    assert "labels" not in here
    here["contents"]["a"]["labels"] = "corrected"
    assert differences(there, here) == []


def with_scans(*numbers: int, **more: Any) -> Record:
    scans = {f"scan_{number}": content(100 + number).plain() for number in numbers}
    return record(reads_labels=False) | {UNLABELLED: {"scans": scans, "left_out": {}, "test_images": []}} | more


def test_scans_without_labels_that_came_or_went_or_are_others_are_told():
    new = differences(with_scans(1), with_scans(1, 2, 3))
    assert new == ["scans without labels that are new: 2 (scan_2, scan_3)"] and only_scans_are_new(new)
    gone = differences(with_scans(1, 2), with_scans(1))
    assert gone == ["scans without labels that are gone: 1 (scan_2)"] and not only_scans_are_new(gone)
    other = with_scans(1)
    other[UNLABELLED]["scans"]["scan_1"] = content(7).plain()
    assert differences(with_scans(1), other) == ["scans without labels that are others than then: 1 (scan_1)"]
    assert differences(with_scans(1, 2), with_scans(2, 1)) == []
    masked, otherwise_masked = (with_scans(1) for _ in range(2))
    masked[UNLABELLED]["scans"]["scan_1"]["labels"] = f"{LOCATIONS}of a mask"
    otherwise_masked[UNLABELLED]["scans"]["scan_1"]["labels"] = f"{LOCATIONS}of another"
    assert differences(masked, otherwise_masked) == [], "what they have for labels is not read"


def test_a_step_1_that_knew_of_no_scans_without_labels_drew_from_none():
    earlier = record(reads_labels=False)
    assert differences(earlier, with_scans()) == []
    assert only_scans_are_new(differences(earlier, with_scans(4)))


def test_a_step_2_does_not_depend_on_them_and_other_changes_are_no_growth():
    assert differences(with_scans(1), record()) == []
    changed = with_scans(1, 2)
    changed["train"].append("x")
    assert not only_scans_are_new(differences(with_scans(1), changed)) and not only_scans_are_new([])


FOLD = Cases(["case_0", "case_1"], ["case_2"])


@pytest.fixture
def lying(make_dataset):
    """Plans, configuration and dataset.json of data that lie in nnUNet_preprocessed, two scans without labels among them."""
    dataset = make_dataset(scans=2)
    return dataset.plans, dataset.plans["configurations"]["3d_fullres"], dataset.dataset_json


def test_a_record_is_of_the_fold_s_cases_as_they_lie_preprocessed(lying):
    plans, configuration, dataset_json = lying
    found = record_of(plans, configuration, FOLD, dataset_json)
    assert (found["dataset"], found["train"], found["val"]) == (plans["dataset_name"], FOLD.train, FOLD.val)
    contents = read_plain(found)
    assert sorted(contents) == ["case_0", "case_1", "case_2"]
    assert len({tuple(content.voxels) for content in contents.values()}) == 3 and all(contents[c].labels for c in contents)
    assert found["labels"]["labels"] == dataset_json["labels"] and UNLABELLED not in found
    assert found["plan"]["data_identifier"] == configuration["data_identifier"]
    assert differences(found, record_of(plans, configuration, FOLD, dataset_json)) == []


def test_before_the_split_and_before_the_data_there_is_little_to_record(lying):
    plans, configuration, _ = lying
    assert record_of(plans, configuration, None, None)["contents"] == {}
    elsewhere = record_of(plans, configuration | {"data_identifier": "not_made"}, FOLD, None)
    assert elsewhere["contents"] == {} and elsewhere["train"] == FOLD.train and "labels" not in elsewhere


def test_a_step_1_records_the_scans_that_it_draws_from(lying):
    plans, configuration, _ = lying
    found = record_of(plans, configuration, FOLD, None, InitSettings())
    assert len(read_scans(found)) == 2
    assert read_scans(record_of(plans, configuration, FOLD, None, InitSettings(unlabelled=False))) == {}
    assert len(read_scans(record_of(plans, configuration, FOLD, None, InitSettings(unlabelled=0.5)))) == 1


def test_a_step_2_is_told_which_scans_a_step_1_would_draw_from_where_that_can_be_told(lying, monkeypatch):
    plans, configuration, dataset_json = lying
    step2 = record_of(plans, configuration, FOLD, dataset_json)
    as_step1 = record_of(plans, configuration, FOLD, None, InitSettings())
    told = module.with_scans(step2, plans, configuration, InitSettings())
    assert told == {**step2, UNLABELLED: as_step1[UNLABELLED], TEST_SCANS: {}} and UNLABELLED not in step2

    def refuse(*_):
        raise UserError("of another plan")

    monkeypatch.setattr(module, "select", refuse)
    beside = UnlabelledFolder.beside(
        folder_of("nnUNet_preprocessed") / plans["dataset_name"], configuration["data_identifier"]
    )
    beside.add(Entry("scan", [[1, 2]], test_image="t"))
    assert module.with_scans(step2, plans, configuration, InitSettings()) == {**step2, TEST_SCANS: {"scan": "t"}}
