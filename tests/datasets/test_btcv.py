"""BTCV as downloaded: what is found, what is refused, and what is written is what nnU-Net takes."""

from __future__ import annotations

import json
import shutil
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.experiment_planning import verify_dataset_integrity as integrity
from nnunetv2.preprocessing.normalization.map_channel_name_to_normalization import get_normalization_scheme

from nnunetv2_lwi.datasets import btcv
from nnunetv2_lwi.datasets.btcv import CHANNEL_NAMES, LABELS, check_volumes, find_download, write_dataset
from nnunetv2_lwi.datasets.published_splits import SPLITS
from nnunetv2_lwi.errors import UserError
from tests.tiny_btcv import SHAPE, write_tiny_btcv, write_volume


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiny_btcv(tmp_path / "RawData", training=(1, 2), test=(61,))


def label_of(source: Path, number: int = 2) -> Path:
    return source / "Training" / "label" / f"label{number:04d}.nii.gz"


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_labels_and_reported_organs_are_those_of_the_published_code():
    assert list(LABELS.values()) == list(range(14))
    assert [LABELS[organ] for organ in SPLITS["synapse"].organs] == [1, 2, 3, 4, 6, 7, 8, 11]
    assert get_normalization_scheme(CHANNEL_NAMES["0"]).__name__ == "CTNormalization"


@pytest.mark.parametrize("above", [".", "..", "../.."])
def test_the_download_is_found_from_each_folder_that_may_be_named(tmp_path, above):
    root = write_tiny_btcv(tmp_path / "Abdomen" / "RawData", training=(1,))
    assert list(find_download(root / above).images) == ["img0001"]


def test_other_files_are_left_out(source):
    for name in ("._img0003.nii.gz", "img0004.nii", "img05.nii.gz", "aimg0006.nii.gz"):
        (source / "Training" / "img" / name).touch()
    assert list(find_download(source).images) == ["img0001", "img0002"]


def test_each_image_meets_the_label_of_its_number(source):
    download = find_download(source)
    pairs = {case: (download.images[case].name, download.labels[case].name) for case in download.images}
    assert pairs["img0002"] == ("img0002.nii.gz", "label0002.nii.gz")
    assert list(download.test_images) == ["img0061"]


def remove_folder(source: Path) -> Path:
    return source.parent / "missing"


def remove_label_folder(source: Path) -> Path:
    shutil.rmtree(source / "Training" / "label")
    return source


def remove_label(source: Path) -> Path:
    label_of(source).unlink()
    return source


def remove_image(source: Path) -> Path:
    (source / "Training" / "img" / "img0001.nii.gz").unlink()
    return source


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (remove_folder, "There is no folder .*missing"),
        (remove_label_folder, r"looked for Training/img/img0001\.nii\.gz and Training/label/label0001\.nii\.gz"),
        (remove_label, "Training/label has no label of img0002"),
        (remove_image, "Training/img has no image of img0001"),
    ],
)
def test_an_incomplete_download_is_refused(source, broken, named):
    with pytest.raises(UserError, match=named) as refusal:
        find_download(broken(source))
    assert "\n" not in refusal.value.message


FLIPPED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("voxels", "geometry", "named"),
    [
        (np.full(SHAPE, 14, np.uint8), {}, r"label0002.nii.gz has the values \(14\)"),
        (np.full(SHAPE, -1, np.int16), {}, r"has the values \(-1\)"),
        (np.full(SHAPE, 1.5, np.float32), {}, r"has the values \(1.5\)"),
        (
            np.zeros((12, 18, 20), np.uint8),
            {},
            r"img0002: size \(18, 20, 12\) of the image is not the label's, \(20, 18, 12\)",
        ),
        (np.zeros(SHAPE, np.uint8), {"Spacing": (0.8, 0.8, 3.1)}, r"img0002: spacing \(0.8, 0.8, 3\) .* \(0.8, 0.8, 3.1\)"),
        (np.zeros(SHAPE, np.uint8), {"Direction": FLIPPED}, "img0002: direction"),
        (np.zeros(SHAPE[1:], np.uint8), {"Spacing": (0.8, 0.8)}, r"label0002.nii.gz has 2 dimensions"),
    ],
)
def test_labels_that_do_not_fit_are_refused(source, voxels, geometry, named):
    write_volume(label_of(source), voxels, **geometry)
    with pytest.raises(UserError, match=named) as refusal:
        check_volumes(find_download(source))
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize(
    "where", ["Training/img/img0001.nii.gz", "Training/label/label0001.nii.gz", "Testing/img/img0061.nii.gz"]
)
def test_a_broken_file_is_named(source, where):
    (source / where).write_bytes(b"<html>please log in</html>")
    with pytest.raises(UserError, match=f"{where} cannot be read") as refusal:
        check_volumes(find_download(source))
    assert "\n" not in refusal.value.message


def test_another_origin_is_told_and_no_error(source):
    assert check_volumes(find_download(source)) == []
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(label_of(source))))
    write_volume(label_of(source), voxels, Origin=(0.0, 0.0, 5.0))
    assert check_volumes(find_download(source)) == ["img0002"]


def test_the_data_set_holds_the_files_as_they_were(source, tmp_path):
    target = tmp_path / "raw" / "Dataset017_BTCV"
    write_dataset(find_download(source), target)
    cases = ("img0001", "img0002")
    expected = [*(f"imagesTr/{case}_0000.nii.gz" for case in cases), *(f"labelsTr/{case}.nii.gz" for case in cases)]
    assert files_below(target) == sorted([*expected, "imagesTs/img0061_0000.nii.gz", "dataset.json"])
    assert (target / "labelsTr" / "img0002.nii.gz").read_bytes() == label_of(source).read_bytes()
    description = json.loads((target / "dataset.json").read_text())
    assert description["labels"] == LABELS and description["channel_names"] == {"0": "CT"}
    assert (description["numTraining"], description["file_ending"]) == (2, ".nii.gz")
    assert list(target.parent.iterdir()) == [target]


def test_without_test_images_there_is_no_folder_for_them(tmp_path):
    source = write_tiny_btcv(tmp_path / "RawData", training=(1,))
    write_dataset(find_download(source), tmp_path / "Dataset017_BTCV")
    assert not (tmp_path / "Dataset017_BTCV" / "imagesTs").exists()


@pytest.mark.parametrize("earlier", [True, False])
def test_a_copy_that_fails_leaves_everything_as_it_was(source, tmp_path, monkeypatch, earlier):
    target = tmp_path / "raw" / "Dataset017_BTCV"
    if earlier:
        write_dataset(find_download(source), target)
    before = files_below(tmp_path)

    def full_disk(*_args, **_options):
        raise OSError("No space left on device")

    monkeypatch.setattr(btcv, "generate_dataset_json", full_disk)
    with pytest.raises(UserError, match="could not be written, and nothing was changed: No space left"):
        write_dataset(find_download(source), target)
    assert files_below(tmp_path) == before and list(target.parent.iterdir()) == [target] * earlier


def test_what_the_user_put_into_the_data_set_stays_when_it_is_written_again(source, tmp_path):
    """The download was completed, say."""
    target = tmp_path / "raw" / "Dataset017_BTCV"
    write_dataset(find_download(source), target)
    mine = {"imagesUn/more_0000.nii.gz", "imagesTs/own_0000.nii.gz", "labelsTs/own.nii.gz", "notes.txt"}
    for name in mine:
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text("mine")
    write_tiny_btcv(source, training=(3,))
    write_dataset(find_download(source), target)
    assert "imagesTs/img0061_0000.nii.gz" in files_below(target) and "imagesTr/img0003_0000.nii.gz" in files_below(target)
    assert {path for path in files_below(target) if (target / path).read_bytes() == b"mine"} == mine
    assert json.loads((target / "dataset.json").read_text())["numTraining"] == 3


@pytest.mark.parametrize("tested_before", [True, False])
@pytest.mark.parametrize("call", range(8))
def test_a_replacement_that_fails_half_way_leaves_the_earlier_data_set(source, tmp_path, monkeypatch, call, tested_before):
    """At each of its moves, a file of the user's among them; test images may be new."""
    target = tmp_path / "raw" / "Dataset017_BTCV"
    hidden = source.with_name("hidden")
    if not tested_before:
        (source / "Testing").rename(hidden)
    write_dataset(find_download(source), target)
    if not tested_before:
        hidden.rename(source / "Testing")
    (target / "labelsTr" / "notes.txt").write_text("mine")
    (target / "imagesUn").mkdir()
    before = {path: (target / path).read_bytes() for path in files_below(target)}
    write_tiny_btcv(source, training=(3,))
    calls, rename = iter(range(100)), Path.rename

    def failing(self, other):
        if next(calls) == call:
            raise OSError("Input/output error")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError, match="nothing was changed: Input/output error"):
        write_dataset(find_download(source), target)
    assert {path: (target / path).read_bytes() for path in files_below(target)} == before
    assert (target / "imagesUn").is_dir() and (target / "imagesTs").is_dir() == tested_before


def test_own_test_images_stay_where_the_download_has_none(tmp_path):
    source, target = write_tiny_btcv(tmp_path / "RawData", training=(1,)), tmp_path / "Dataset017_BTCV"
    write_dataset(find_download(source), target)
    (target / "imagesTs").mkdir()
    (target / "imagesTs" / "img0070_0000.nii.gz").touch()
    write_dataset(find_download(source), target)
    assert (target / "imagesTs" / "img0070_0000.nii.gz").is_file()


@pytest.mark.parametrize(
    "where", ["Training/img/img0001.nii.gz", "Training/label/label0001.nii.gz", "Testing/img/img0061.nii.gz"]
)
def test_a_file_that_was_cut_short_is_named(source, where):
    """SimpleITK reads zeros for the rest."""
    content = (source / where).read_bytes()
    (source / where).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"{where} cannot be (used|read) \(.*\): download it again"):
        check_volumes(find_download(source))


def test_nnunet_finds_the_data_set_sound(source, tmp_path, monkeypatch, capsys):
    """Its check runs in spawned processes, which threads replace here."""
    target = tmp_path / "Dataset017_BTCV"
    write_dataset(find_download(source), target)
    threads = SimpleNamespace(get_context=lambda _: SimpleNamespace(Pool=ThreadPool))
    monkeypatch.setattr(integrity, "multiprocessing", threads)
    integrity.verify_dataset_integrity(str(target), num_processes=1)
    out = capsys.readouterr().out
    assert "verify_dataset_integrity Done" in out and "Error" not in out and "Warning" not in out
    (target / "labelsTr" / "img0002.nii.gz").unlink()
    with pytest.raises(AssertionError, match="img0002"):
        integrity.verify_dataset_integrity(str(target), num_processes=1)
