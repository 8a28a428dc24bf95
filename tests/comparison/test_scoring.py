"""HD95 against distances worked out by hand, and what is left to be scored."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from nnunetv2.imageio.tif_reader_writer import Tiff3DIO

from nnunetv2_lwi.comparison import execution, scoring
from nnunetv2_lwi.comparison.results import is_done, read_result
from nnunetv2_lwi.comparison.scoring import hd95, missing, wanted
from nnunetv2_lwi.comparison.source import LabelledImages
from nnunetv2_lwi.errors import UserError
from tests.comparison.conftest import write_result


def cube(offset: int) -> np.ndarray:
    volume = np.zeros((20, 20, 20), np.uint8)
    volume[5 + offset : 10 + offset, 5:10, 5:10] = 1
    return volume


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_a_shifted_cube_is_as_far_as_it_was_shifted(offset):
    assert hd95(cube(offset), cube(0), "1", [1.0, 1.0, 1.0]) == pytest.approx(offset)
    assert hd95(cube(offset), cube(0), "1", [2.5, 1.0, 1.0]) == pytest.approx(2.5 * offset)


def test_few_stray_voxels_do_not_count():
    """The 95th percentile, not the maximum: ten voxels of a surface of several hundred lie far off."""
    truth = np.zeros((40, 40, 40), np.uint8)
    truth[5:15, 5:15, 5:15] = 1
    prediction = truth.copy()
    prediction[38, 38, 28:38] = 1
    assert hd95(prediction, truth, "1", [1.0] * 3) == 0


@pytest.mark.parametrize(("how", "mirrors"), [("plain", False), ("mirrored", True)])
def test_predictions_are_mirrored_where_they_are_called_so(tmp_path, how, mirrors):
    predictor = SimpleNamespace(use_mirroring=None, predict_from_files_sequential=lambda *_: None)
    scoring._predict(predictor, tmp_path / "predictions", how, LabelledImages({"a": ["a_0000.nii.gz"]}, {"a": "a.nii.gz"}))
    assert predictor.use_mirroring is mirrors


def test_a_missing_class_has_no_distance():
    assert hd95(np.zeros_like(cube(0)), cube(0), "1", [1.0] * 3) is None
    assert hd95(cube(0), np.zeros_like(cube(0)), "1", [1.0] * 3) is None


def test_regions_and_ignored_voxels():
    truth, prediction = cube(0), cube(0)
    truth[5:10, 5:10, 5:7] = 2
    assert hd95(prediction, truth, "(1, 2)", [1.0] * 3) == 0
    assert hd95(prediction, truth, "1", [1.0] * 3) > 0
    prediction[15:] = 1
    truth[15:] = 3
    assert hd95(prediction, truth, "(1, 2)", [1.0] * 3, ignore_label=3) == 0


def test_millimetres_are_those_of_the_prediction_where_the_label_does_not_tell(place, tmp_path):
    """As of TIFF files: nnU-Net writes the spacing beside what it predicts, and copies labels without theirs."""
    source = replace(
        place.source,
        plans={**place.source.plans, "image_reader_writer": "Tiff3DIO"},
        dataset_json={**place.source.dataset_json, "file_ending": ".tif"},
    )
    truth, folder = tmp_path / "case.tif", tmp_path / "predictions"
    folder.mkdir()
    tifffile.imwrite(truth, cube(0))
    Tiff3DIO().write_seg(cube(3), str(folder / "case.tif"), {"spacing": [2.5, 1.0, 1.0]})
    metrics = {label: {"Dice": 0.5} for label in ("1", "2")}
    summary = {"metric_per_case": [{"prediction_file": str(folder / "case.tif"), "metrics": metrics}]}
    (folder / "summary.json").write_text(json.dumps(summary))
    scores = scoring.read_scores(replace(place, source=source), folder, {"case": str(truth)})
    assert scores["case"]["one"]["HD95"] == pytest.approx(7.5) and scores["case"]["two"]["HD95"] is None


@pytest.fixture
def place(make_design, make_places, source, tmp_path):
    """A finished random start whose test cases were not at hand when it was scored."""
    (place,) = make_places(make_design("random", counts=(2,), seeds=1).runs())
    write_result(place, 0.5)
    assert is_done(place)
    raw = tmp_path / "raw"
    for name in ("imagesTs/a_0000", "imagesTs/b_0000", "labelsTs/a", "labelsTs/b"):
        path = raw / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return replace(place, source=replace(source, raw=raw))


def test_only_what_has_no_score_is_left(place):
    """The raw training images are not there, so that the validation cases are scored with mirroring alone."""
    assert list(wanted(place)) == [("validation", "mirrored"), ("test", "plain"), ("test", "mirrored")]
    without = replace(place, predicts_mirrored=False)
    assert list(wanted(without)) == [("validation", "mirrored"), ("test", "plain")]
    assert not is_done(place)
    result = read_result(place)
    assert list(missing(place, result)) == [("test", "plain"), ("test", "mirrored")]
    result["scores"]["test"] = {"plain": {"a": {}, "b": {}}, "mirrored": {"a": {}}}
    test = place.source.test_images
    result["scored_files"] = {how: {case: test.digest(case) for case in "ab"} for how in ("plain", "mirrored")}
    assert list(missing(place, result)) == [("test", "mirrored")]


@pytest.mark.parametrize("file", ["labelsTs/b.nii.gz", "imagesTs/b_0000.nii.gz"])
def test_a_corrected_test_case_is_scored_again(place, stand_ins, file):
    execution.execute(place, "cpu")
    assert is_done(place)
    (place.source.raw / file).write_bytes(b"corrected")
    assert [cases for cases, _ in missing(place, read_result(place))] == ["test", "test"]
    stand_ins.clear()
    execution.execute(place, "cpu")
    assert is_done(place) and stand_ins == [("test_plain", "plain"), ("test_mirrored", "mirrored")]


@pytest.fixture
def stand_ins(monkeypatch):
    """For training, predicting and Dice; gives what was predicted."""
    predicted = []
    monkeypatch.setattr(execution, "train", lambda *_: None)
    monkeypatch.setattr(scoring, "make_predictor", lambda *_: "predictor")
    monkeypatch.setattr(scoring, "_predict", lambda predictor, folder, how, labelled: predicted.append((folder.name, how)))
    monkeypatch.setattr(scoring, "read_scores", lambda place, folder, labels: {case: {"new": {}} for case in labels})
    return predicted


def test_scoring_what_is_left_keeps_the_rest_of_the_result(place, stand_ins):
    before = read_result(place)
    execution.execute(place, "cpu")
    after = read_result(place)
    assert stand_ins == [("test_plain", "plain"), ("test_mirrored", "mirrored")] and is_done(place)
    assert after["scores"]["validation"] == before["scores"]["validation"]
    assert set(after["scores"]["test"]["plain"]) == {"a", "b"}
    assert (after["origins"], after["seconds"]) == (before["origins"], before["seconds"])


def test_nothing_of_an_earlier_prediction_is_left(place, tmp_path):
    """nnU-Net would score every file of the folder: a case that is a test case no more ends that."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    (folder / "gone.nii.gz").touch()
    written = []

    class Predictor:
        def predict_from_files_sequential(self, images, outputs):
            written.extend(outputs)

    scoring._predict(Predictor(), folder, "plain", place.source.test_images)
    assert not list(folder.iterdir()) and written == [str(folder / "a"), str(folder / "b")]


def test_what_was_scored_before_an_error_is_kept(place, stand_ins, monkeypatch):
    """A label that is one voxel narrower than its image, say."""

    def read_scores(place, folder, labels):
        if folder.name == "test_mirrored":
            raise ValueError("operands could not be broadcast together")
        return {case: {"new": {}} for case in labels}

    monkeypatch.setattr(scoring, "read_scores", read_scores)
    with pytest.raises(
        UserError, match=r"The test cases could not be scored \(operands .*\): does each label have the shape"
    ):
        execution.execute(place, "cpu")
    assert set(read_result(place)["scores"]["test"]) == {"plain"}
    assert list(missing(place, read_result(place))) == [("test", "mirrored")]
