"""What tells data from other data: read once, true after copies, and never in the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from nnunetv2_lwi.nnunet import contents
from nnunetv2_lwi.nnunet.contents import Content, changed, read_contents, read_extreme_labels, shared
from tests.tiny_dataset import CASES, NAME, Options, class_locations, make_case

NAMES = [f"case_{number}" for number in range(CASES)]


@pytest.fixture
def folder(dataset) -> Path:
    return dataset.preprocessed / NAME / "nnUNetPlans_3d_fullres"


def rewrite(folder: Path, case: str, image: np.ndarray, segmentation: np.ndarray) -> None:
    properties = nnUNetDatasetBlosc2(str(folder)).load_case(case)[3]
    properties["class_locations"] = class_locations(segmentation, Options())
    for path in folder.glob(f"{case}[._]*"):
        path.unlink()
    chunks = (1, *image.shape[1:])
    nnUNetDatasetBlosc2.save_case(image, segmentation, properties, str(folder / case), chunks, chunks, chunks, chunks)


def test_each_case_shows_itself_and_no_other(folder):
    found = read_contents(folder, NAMES)
    assert list(found) == NAMES
    assert all(found[one].is_of_image_of(found[other]) == (one == other) for one in NAMES for other in NAMES)
    assert changed(found, found, with_labels=True) == [] and shared(found, found) == {name: name for name in NAMES}


def test_what_was_read_is_kept_and_read_again_only_where_files_changed(folder, monkeypatch):
    read_contents(folder, NAMES)
    image, segmentation = make_case(7, Options())
    rewrite(folder, "case_1", image, segmentation)
    read = []
    reader = contents.read_content
    monkeypatch.setattr(contents, "read_content", lambda kind, where, case: read.append(case) or reader(kind, where, case))
    after = read_contents(folder, NAMES)
    assert read == ["case_1"]
    read_contents(folder, NAMES)
    assert read == ["case_1"] and after["case_1"].shape == list(image.shape)


def test_a_copy_of_the_data_is_the_same(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "case_0.b2nd").touch()
    assert changed(read_contents(folder, NAMES), read_contents(copy, NAMES), with_labels=True) == []


@pytest.mark.parametrize("what", ["image", "labels"])
def test_other_images_and_other_labels_are_told(folder, what):
    before = read_contents(folder, NAMES)
    image, segmentation = make_case(2, Options())
    if what == "image":
        image = image * 1.5
    else:
        segmentation[0, 0, 0, 0] = 1 - segmentation[0, 0, 0, 0]
    rewrite(folder, "case_2", image, segmentation)
    after = read_contents(folder, NAMES)
    assert changed(before, after, with_labels=True) == ["case_2"]
    assert changed(before, after, with_labels=False) == (["case_2"] if what == "image" else [])
    assert after["case_2"].is_of_image_of(before["case_2"]), "normalised in another way it is the same image"


def test_data_that_were_preprocessed_again_are_the_same_whatever_the_bytes_of_their_files(folder):
    """blosc2 writes chunks in the order in which its threads end."""
    before = read_contents(folder, NAMES)
    image, segmentation, _, properties = nnUNetDatasetBlosc2(str(folder)).load_case("case_2")
    image, segmentation = image[:], segmentation[:]
    for path in folder.glob("case_2[._]*"):
        path.unlink()
    small = (1, 4, 5, 6)
    nnUNetDatasetBlosc2.save_case(image, segmentation, properties, str(folder / "case_2"), small, small, small, small)
    assert changed(before, read_contents(folder, NAMES), with_labels=True) == []


def test_labels_as_an_earlier_version_noted_them_are_not_compared(folder):
    now = read_contents(folder, NAMES)["case_0"]
    earlier = Content(now.shape, now.voxels, "0123456789abcdef")
    assert earlier.has_labels_of(now) and now.has_labels_of(earlier)
    file = folder.parent / f"{folder.name}_contents_lwi.json"
    kept = json.loads(file.read_text())
    kept["case_0"]["content"]["labels"] = "0123456789abcdef"
    file.write_text(json.dumps(kept))
    assert read_contents(folder, NAMES)["case_0"] == now


def test_rounding_is_no_other_image():
    voxels = np.random.default_rng(0).standard_normal(27)
    one, other = (Content([1, 4, 4, 4], values.tolist(), "") for values in (voxels, voxels + 1e-5))
    assert one.has_voxels_of(other) and changed({"a": one}, {"a": other}, with_labels=True) == []


def test_images_of_nothing_are_not_taken_for_each_other():
    empty = Content([1, 4, 4, 4], [0.0] * 27, "")
    assert not empty.is_of_image_of(empty) and empty.has_voxels_of(empty)


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(contents, "write_json", refuse)
    assert list(read_contents(folder, NAMES)) == NAMES
    assert list(read_extreme_labels(folder)) == NAMES


@pytest.mark.parametrize("text", ["", "{", "[]", '{"case_0": 1}', '{"case_0": {"state": []}}'])
def test_a_file_that_is_none_of_ours_is_written_anew(folder, text):
    file = folder.parent / f"{folder.name}_contents_lwi.json"
    file.write_text(text)
    assert list(read_contents(folder, NAMES)) == NAMES
    assert set(json.loads(file.read_text())) == set(NAMES)


def test_a_case_that_is_not_there_is_left_out(folder):
    assert list(read_contents(folder, ["case_0", "gone"])) == ["case_0"]


def test_the_extremes_of_the_labels_are_read_once(folder, monkeypatch):
    image, segmentation = make_case(3, Options())
    segmentation[0, 1, 1, 1] = 9
    rewrite(folder, "case_3", image, segmentation)
    found = read_extreme_labels(folder)
    assert found.pop("case_3") == (-1, 9) and set(found.values()) == {(-1, 2)}
    monkeypatch.setattr(nnUNetDatasetBlosc2, "load_case", lambda *_: pytest.fail("read again"))
    assert read_extreme_labels(folder)["case_3"] == (-1, 9)


def test_nearly_empty_images_are_not_taken_for_each_other_and_tiny_intensities_are_no_emptiness():
    one, other = (np.zeros((1, 9, 9, 9)) for _ in range(2))
    one[0, 4, 4, 4], other[0, 4, 4, 4] = 3.0, 50.0
    assert not Content.of_image(one).is_of_image_of(Content.of_image(other))
    image = np.random.default_rng(0).random((1, 9, 9, 9)) * 1e-9
    copy, another = image * 2, np.random.default_rng(1).random((1, 9, 9, 9)) * 1e-9
    assert Content.of_image(image).is_of_image_of(Content.of_image(copy))
    assert not Content.of_image(image).is_of_image_of(Content.of_image(another))
