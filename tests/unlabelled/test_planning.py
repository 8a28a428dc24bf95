"""Plans from images alone: nnU-Net's own, with intensities from inside the body."""

from __future__ import annotations

import json

import numpy as np
import pytest
from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.unlabelled.planning import FINGERPRINT_OF, body_mask, plan_from_images, take_over_plans
from nnunetv2_lwi.unlabelled.raw_scans import scans_of
from tests.raw_scans import write_raw
from tests.tiny_dataset import NAME

PLAIN = "Dataset998_Plain"
DATASET_JSON = {"channel_names": {"0": "CT"}, "labels": {"background": 0}, "numTraining": 0, "file_ending": ".nii.gz"}


def ct(seed: int) -> np.ndarray:
    """A body of 20 to 60 HU in air, on a table of 300 HU that touches it nowhere, with air inside."""
    random = np.random.default_rng(seed)
    image = np.full((1, 20, 30, 32), -1000.0, np.float32)
    image[0, :, 5:20, 6:26] = random.uniform(20, 60, (20, 15, 20))
    image[0, 8:12, 10:14, 10:14] = -900
    image[0, :, 25:27, :] = 300
    return image


def test_the_body_is_the_largest_part_above_air():
    mask = body_mask(ct(0), ["CTNormalization"])
    assert mask[:, 5:20, 6:26].sum() == mask.sum() == 20 * 15 * 20 - 4 * 4 * 4
    assert body_mask(np.full((1, 2, 3, 4), -1000.0), ["CTNormalization"]).sum() == 0


def test_elsewhere_it_is_what_is_not_zero_in_any_channel():
    image = np.zeros((2, 2, 3, 4))
    image[0, 0, 0, 0] = image[1, 1, 1, 1] = 1
    assert body_mask(image, ["ZScoreNormalization"] * 2).sum() == 2


@pytest.fixture
def plain(dataset, tmp_path, monkeypatch):
    """nnUNet_raw with a data set of three CTs and no label."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    folder = tmp_path / "raw" / PLAIN
    for number in range(3):
        write_raw(folder / "imagesUn", f"scan_{number}", ct(number), (3.0, 1.0, 1.0))
    save_json(DATASET_JSON, str(folder / "dataset.json"))
    return folder


def test_nnunets_planner_plans_from_them(dataset, plain, monkeypatch):
    monkeypatch.setenv("nnUNet_def_n_proc", "1")
    (plain / "imagesUn" / "broken_0000.nii.gz").write_bytes(b"no image")
    said = []
    (dataset.preprocessed / PLAIN / ".planning_killed").mkdir(parents=True)
    found = scans_of([plain / "imagesUn"], DATASET_JSON)
    plan_from_images(plain, PLAIN, "nnUNetPlans", DATASET_JSON, found, 1, said.append)
    assert any(line.startswith("Not planned with: broken: broken_0000.nii.gz is") for line in said)
    folder = dataset.preprocessed / PLAIN
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    configuration = plans["configurations"]["3d_fullres"]
    assert plans[FINGERPRINT_OF] == "3 images, no labels; intensities from inside the body (above -500 HU)"
    assert configuration["spacing"] == [3.0, 1.0, 1.0] and configuration["normalization_schemes"] == ["CTNormalization"]
    intensities = plans["foreground_intensity_properties_per_channel"]["0"]
    assert intensities["min"] >= 20 and intensities["max"] <= 60 and 39 < intensities["mean"] < 41
    assert json.loads((folder / "dataset.json").read_text()) == DATASET_JSON
    assert sorted(path.name for path in folder.iterdir()) == [
        "dataset.json", "dataset_fingerprint.json", "nnUNetPlans.json"
    ]  # fmt: skip
    with pytest.raises(UserError, match="is there already: leave --plan"):
        plan_from_images(plain, PLAIN, "nnUNetPlans", DATASET_JSON, found, 1, said.append)


def test_without_one_usable_image_nothing_is_planned(dataset, plain):
    for path in (plain / "imagesUn").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match="None of the scans can be used to plan"):
        plan_from_images(plain, PLAIN, "P", DATASET_JSON, scans_of([plain / "imagesUn"], DATASET_JSON), 1, print)
    assert not list((dataset.preprocessed / PLAIN).iterdir())


def test_a_fingerprint_that_is_there_is_never_replaced(dataset, plain):
    folder = dataset.preprocessed / PLAIN
    folder.mkdir()
    (folder / "dataset_fingerprint.json").write_text("of the labels")
    for act in (
        lambda: plan_from_images(plain, PLAIN, "P", DATASET_JSON, scans_of([plain / "imagesUn"], DATASET_JSON), 1, print),
        lambda: take_over_plans(NAME, plain, PLAIN, "nnUNetPlans"),
    ):
        with pytest.raises(UserError, match="is there already, from which nnUNetv2_plan_experiment plans"):
            act()
    assert (folder / "dataset_fingerprint.json").read_text() == "of the labels"


def test_plans_of_another_data_set_are_taken_over_as_they_are(dataset, plain):
    take_over_plans(NAME, plain, PLAIN, "nnUNetPlans")
    folder = dataset.preprocessed / PLAIN
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    assert plans == {**dataset.plans, "dataset_name": PLAIN, FINGERPRINT_OF: f"that of {NAME}"}
    assert json.loads((folder / "dataset.json").read_text()) == DATASET_JSON
    assert (folder / "dataset_fingerprint.json").is_file()
    with pytest.raises(UserError, match="is there already"):
        take_over_plans(NAME, plain, PLAIN, "nnUNetPlans")
