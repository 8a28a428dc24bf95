"""The fold's images and scans without labels as one data set, drawn in the share that the plan says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from nnunetv2_lwi.training.loading.checked_voxels import PREFIX, CheckedDataset, VoxelChecks
from nnunetv2_lwi.training.loading.joined import JoinedDataset, UnlabelledDataset, describe_images, repetitions
from nnunetv2_lwi.training.loading.label_free import no_labels
from tests.tiny_dataset import PATCH

CASES = ["case_0", "case_1"]


def joined(dataset, share=None):
    checks = VoxelChecks([*CASES, *(PREFIX + name for name in dataset.scans.files())])
    labelled = CheckedDataset(nnUNetDatasetBlosc2(str(dataset.cases), list(CASES)), checks)
    return JoinedDataset(labelled, CheckedDataset(UnlabelledDataset(dataset.scans, dataset.scans.files()), checks), share)


def test_a_scan_and_a_case_of_one_name_are_two_images(make_dataset):
    both = joined(make_dataset(scans=3))
    assert sorted(both.identifiers) == [*CASES, *(f"{PREFIX}case_{number}" for number in range(3))]
    case, scan = both.load_case("case_0"), both.load_case(f"{PREFIX}case_0")
    assert not np.array_equal(case[0][:], scan[0][:])
    assert set(case[3]["class_locations"]) == {1, 2} and scan[3]["class_locations"] == {}


@given(st.integers(1, 2000), st.integers(1, 20000), st.floats(0.05, 0.95))
def test_labelled_images_are_the_share_that_is_asked_for(labelled, unlabelled, share):
    mine, theirs = repetitions(labelled, unlabelled, share)
    assert mine >= 1 and theirs >= 1
    assert mine * labelled / (mine * labelled + theirs * unlabelled) == pytest.approx(share, abs=0.0075)


def test_without_a_share_every_image_stands_once():
    assert repetitions(3, 1000, None) == (1, 1)


@pytest.mark.parametrize(("share", "expected"), [(None, 2 / 5), (0.8, 0.8)])
def test_nnunets_loader_draws_in_that_share(make_dataset, share, expected):
    loader = nnUNetDataLoader(joined(make_dataset(scans=3), share), 2, PATCH, PATCH, no_labels())
    np.random.seed(0)
    keys = [key for _ in range(1000) for key in loader.get_indices()]
    assert sum(not key.startswith(PREFIX) for key in keys) / len(keys) == pytest.approx(expected, abs=0.03)
    assert next(loader)["data"].shape == (2, 1, *PATCH)


def test_the_log_says_what_is_drawn_from(tmp_path):
    nothing = {"scans": {}, "left_out": {}, "test_images": []}
    assert describe_images(3, nothing, tmp_path, None) == []
    some = {"scans": {"a": {}, "b": {}}, "left_out": {"c": "case_1"}, "test_images": ["a"]}
    lines = describe_images(3, some, tmp_path, 0.25)
    assert lines[0] == f"Images: 3 of the fold and 2 scans without labels ({tmp_path}), the former 25% of what is drawn."
    assert "left out as images of this fold's cases: 1 (c is case_1)" in lines[1]
    assert lines[2].startswith("WARNING") and "allows: 1 (a)" in lines[2]
