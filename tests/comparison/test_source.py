"""What is read of the user's data set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2, nnUNetDatasetNumpy
from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnunetv2_lwi.errors import UserError


def test_names_of_labels_and_of_regions(source):
    assert source.class_names() == {"1": "one", "2": "two"}
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    regions = replace(source, dataset_json=source.dataset_json | {"labels": labels, "regions_class_order": [1, 2]})
    assert set(regions.class_names().values()) == {"whole", "core"}
    assert regions.class_names()["(1, 2)"] == "whole"


def test_the_split_is_nnunets_and_is_not_written(source):
    configuration = source.plans["configurations"]["3d_fullres"]
    expected = generate_crossval_split([f"case_{i}" for i in range(5)], seed=12345, n_splits=5)
    for fold in range(5):
        assert source.split(configuration, fold) == (list(expected[fold]["train"]), list(expected[fold]["val"]))
    assert not (source.preprocessed / "splits_final.json").exists()


def test_the_users_split_comes_first(source):
    configuration = source.plans["configurations"]["3d_fullres"]
    split = {"train": ["case_3", "case_1"], "val": ["case_0"]}
    (source.preprocessed / "splits_final.json").write_text(json.dumps([split]))
    assert source.split(configuration, 0) == (["case_3", "case_1"], ["case_0"])
    with pytest.raises(UserError, match="has 1 folds, 0 to 0"):
        source.split(configuration, 1)


@pytest.mark.parametrize(
    "split", [{"train": ["case_1", "case_2"], "val": ["case_1"]}, {"train": ["case_1", "case_1"], "val": ["case_0"]}]
)
def test_a_case_that_is_named_twice_is_refused(source, split):
    (source.preprocessed / "splits_final.json").write_text(json.dumps([split]))
    with pytest.raises(UserError, match=r"names 1 cases more than once in fold 0: case_1\. .*name each case once"):
        source.split(source.plans["configurations"]["3d_fullres"], 0)


def test_the_older_format_which_nnunet_unpacks_in_place_is_refused(source):
    configuration = source.plans["configurations"]["3d_fullres"]
    folder = source.preprocessed / configuration["data_identifier"]
    cases = nnUNetDatasetBlosc2(str(folder))
    for case in cases.identifiers:
        image, labels, _, properties = cases.load_case(case)
        nnUNetDatasetNumpy.save_case(image[:], labels[:], properties, str(folder / case))
    for path in folder.glob("*.b2nd"):
        path.unlink()
    before = sorted(folder.iterdir())
    with pytest.raises(UserError, match=r"holds \.npz files, .*: run nnUNetv2_preprocess again\."):
        source.split(configuration, 0)
    assert sorted(folder.iterdir()) == before


def test_test_images_are_those_with_every_channel_and_a_label(source, tmp_path):
    raw = tmp_path / "raw"
    for name in ("imagesTs/a_0000", "imagesTs/b_0000", "imagesTs/c_0000", "labelsTs/a", "labelsTs/b", "labelsTs/d"):
        path = raw / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = replace(source, raw=raw).test_images
    assert list(found.images) == ["a", "b"] and found.labels["b"] == str(raw / "labelsTs" / "b.nii.gz")
    assert replace(source, raw=raw).incomplete_tests() == {"d": "d_0000.nii.gz"} and source.incomplete_tests() == {}
    assert replace(source, raw=tmp_path).test_images is None and source.test_images is None
    assert np.array_equal(found.images["a"], [str(raw / "imagesTs" / "a_0000.nii.gz")])


def test_the_older_name_of_the_channels_counts(source, tmp_path):
    raw = tmp_path / "raw"
    for name in ("imagesTs/a_0000", "imagesTs/a_0001", "labelsTs/a"):
        path = raw / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    content = {key: value for key, value in source.dataset_json.items() if key != "channel_names"}
    older = replace(source, raw=raw, dataset_json={**content, "modality": {"0": "T1", "1": "T2"}})
    assert older.test_images is not None and len(older.test_images.images["a"]) == 2


def test_training_images_that_dataset_json_names(source, tmp_path):
    named = {"case_0": {"images": ["elsewhere/scan.nii.gz"], "label": "elsewhere/label.nii.gz"}}
    of_names = replace(source, raw=tmp_path, dataset_json=source.dataset_json | {"dataset": named})
    found = of_names.training_images
    assert found.images == {"case_0": [str(tmp_path / "elsewhere" / "scan.nii.gz")]}
    assert found.labels == {"case_0": str(tmp_path / "elsewhere" / "label.nii.gz")}
    assert named["case_0"]["images"] == ["elsewhere/scan.nii.gz"], "what was read has changed"


def test_the_fingerprint_knows_each_cases_files(source):
    configuration = source.plans["configurations"]["3d_fullres"]
    fingerprint = source.fingerprint("3d_fullres", configuration)
    folder = source.preprocessed / configuration["data_identifier"]
    assert set(fingerprint.images) == {f"case_{i}" for i in range(5)}
    for case in fingerprint.images:
        assert fingerprint.images[case] == (folder / f"{case}.b2nd").stat().st_size > 0
    assert "configurations" not in fingerprint.names["plans"] and "numTraining" not in fingerprint.names["dataset_json"]
    assert fingerprint.names["plans"]["plans_name"] and fingerprint.names["dataset_json"]["labels"]
    assert json.loads(json.dumps(fingerprint.of(["case_1"], with_labels=True)))["labels"]["case_1"]
    assert "labels" not in fingerprint.of(["case_1"], with_labels=False)


def save_labels(source, configuration, change, case="case_1"):
    """A case again, its labels changed, by nnU-Net's own writer."""
    folder = str(source.preprocessed / configuration["data_identifier"])
    dataset = nnUNetDatasetBlosc2(folder)
    image, labels, _, properties = dataset.load_case(case)
    image, labels = image[:], labels[:]
    for name in (f"{case}.b2nd", f"{case}_seg.b2nd"):
        Path(folder, name).unlink()
    dataset.save_case(image, change(labels), properties, f"{folder}/{case}", *[image.shape] * 2, *[labels.shape] * 2)


def test_corrected_labels_are_others_though_their_file_keeps_its_size(source):
    """Classes swapped: the compressed file is as long as before."""
    configuration = source.plans["configurations"]["3d_fullres"]

    def state(with_labels):
        return source.fingerprint("3d_fullres", configuration).of(["case_1", "case_2"], with_labels)

    save_labels(source, configuration, lambda labels: labels)
    before, images = state(with_labels=True), state(with_labels=False)
    save_labels(source, configuration, lambda labels: labels)
    assert state(with_labels=True) == before
    save_labels(source, configuration, lambda labels: np.choose(labels.clip(0), [0, 2, 1]).astype(labels.dtype))
    after = state(with_labels=True)
    assert (
        after["labels"]["case_1"] != before["labels"]["case_1"] and after["labels"]["case_2"] == before["labels"]["case_2"]
    )
    assert state(with_labels=False) == images, "step 1 depends on no labels"
