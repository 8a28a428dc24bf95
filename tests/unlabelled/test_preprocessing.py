"""Scans become what nnU-Net's preprocessing makes of labelled cases; what cannot be used is said."""

from __future__ import annotations

import errno
import shutil

import nibabel
import numpy as np
import pytest
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.contents import Content
from nnunetv2_lwi.unlabelled import preprocessing
from nnunetv2_lwi.unlabelled.preprocessing import preprocess, preprocess_scan, read_raw
from nnunetv2_lwi.unlabelled.raw_scans import scans_of
from tests.raw_scans import raw_image, write_raw


def prepared(raw, **changed):
    preparation = raw.preparation(**changed)
    preparation.partial.mkdir(parents=True, exist_ok=True)
    preparation.folder.begin({}, preparation.allows_test_images, [])
    return preparation


def only_scan(raw):
    (scan,) = scans_of([raw.scans], raw.dataset.dataset_json).scans
    return scan


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channels": 2},
        {"use_mask_for_norm": True},
        {"transpose_forward": (2, 0, 1), "channels": 2, "use_mask_for_norm": True},
    ],
    ids=str,
)
def test_a_scan_becomes_what_nnunets_preprocessor_makes_of_it(make_raw, options):
    raw = make_raw(**options)
    write_raw(raw.scans, "scan", raw_image(7, raw.channels), (3.0, 1.5, 1.0))
    entry = preprocess_scan(prepared(raw), scan := only_scan(raw))
    assert entry.left_out is None and entry.state == scan.state()
    plans = PlansManager(raw.dataset.plans)
    configuration = plans.get_configuration("3d_fullres")
    expected, outside, _ = DefaultPreprocessor(verbose=False).run_case(
        list(map(str, scan.files)), None, plans, configuration, raw.dataset.dataset_json
    )
    image, segmentation, _, properties = nnUNetDatasetBlosc2(str(raw.dataset.scans.path)).load_case("scan")
    assert np.array_equal(image[:], expected) and np.array_equal(segmentation[:], outside)
    assert set(np.unique(segmentation[:])) == {-1, 0}
    assert entry.content == Content.of_image(image, entry.content.labels)
    assert properties["spacing"] == [3.0, 1.5, 1.0]


def test_scans_are_made_side_by_side_and_nothing_else_is_left(raw):
    raw.add(1, 2, 3)
    preparation = prepared(raw)
    entries = list(preprocess(preparation, scans_of([raw.scans], raw.dataset.dataset_json).scans, 2))
    assert sorted(entry.name for entry in entries) == ["scan_1", "scan_2", "scan_3"]
    assert sorted(raw.dataset.scans.files()) == ["scan_1", "scan_2", "scan_3"] and not preparation.partial.exists()


def constant(raw):
    write_raw(raw.scans, "scan", np.ones((1, 6, 7, 8), np.float32))


def flat(raw):
    write_raw(raw.scans, "scan", raw_image(1)[:, 3])


def in_time(raw):
    write_raw(raw.scans, "scan", np.repeat(raw_image(1)[:, None], 2, axis=1))


def nan(raw):
    image = raw_image(1)[0]
    image[2, 3, 4] = np.nan
    raw.scans.mkdir()
    nibabel.save(nibabel.Nifti1Image(image.T, np.diag([1.0, 1.0, 2.0, 1.0])), raw.scans / "scan_0000.nii.gz")


def cut(raw):
    raw.add(1)
    path = raw.scans / "scan_1_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:500])


def far(raw):
    write_raw(raw.scans, "scan", raw_image(1), (40.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (constant, "every voxel of channel 0 is the same"),
        (flat, "not 3D"),
        (in_time, "2 channels where the data set has 1"),
        (nan, "NaN or infinite"),
        (cut, "cut short or damaged"),
        (far, "far from the data set's 2 x 1 x 1"),
    ],
)
def test_a_scan_that_cannot_be_used_is_left_out_with_its_reason(raw, make, words):
    make(raw)
    entry = preprocess_scan(prepared(raw), only_scan(raw))
    assert words in entry.left_out and entry.content is None
    assert raw.dataset.scans.files() == [] and not any(raw.preparation().partial.iterdir())


def test_an_image_of_the_test_is_left_out_under_whatever_name_and_kept_where_that_is_allowed(raw):
    raw.add(1)
    write_raw(raw.folder / "imagesTs", "other", 3 * raw_image(1) + 5)
    (test,) = scans_of([raw.folder / "imagesTs"], raw.dataset.dataset_json).scans
    tests = {test.name: read_raw(raw.dataset.plans, test)}
    entry = preprocess_scan(prepared(raw, test_images=tests), only_scan(raw))
    assert entry.test_image == "other" and entry.content is None and raw.dataset.scans.files() == []
    entry = preprocess_scan(prepared(raw, test_images=tests, allows_test_images=True), only_scan(raw))
    assert entry.test_image == "other" and entry.content is not None and raw.dataset.scans.files() == ["scan_1"]


def test_another_image_than_the_tests_is_no_test_image(raw):
    raw.add(1)
    write_raw(raw.folder / "imagesTs", "other", raw_image(2))
    (test,) = scans_of([raw.folder / "imagesTs"], raw.dataset.dataset_json).scans
    entry = preprocess_scan(prepared(raw, test_images={"other": read_raw(raw.dataset.plans, test)}), only_scan(raw))
    assert entry.test_image is None and entry.content is not None


def test_files_that_change_meanwhile_are_for_the_next_call(raw, monkeypatch):
    raw.add(1)
    read = preprocessing._read

    def and_change(reader, files):
        outcome = read(reader, files)
        shutil.copy(files[0], files[0] + ".new")
        with open(files[0], "ab") as file:
            file.write(b"x")
        return outcome

    monkeypatch.setattr(preprocessing, "_read", and_change)
    entry = preprocess_scan(prepared(raw), scan := only_scan(raw))
    assert entry.left_out == preprocessing.CHANGED and entry.state != scan.state()
    assert raw.dataset.scans.files() == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "f.b2nd"), "f.b2nd could not be written: No space left on device"),
        (OSError(errno.EACCES, "Permission denied", "f.b2nd"), "f.b2nd could not be written: Permission denied"),
        (MemoryError(), "not enough memory to preprocess scan scan_1"),
    ],
)
def test_what_the_machine_lacks_is_no_fault_of_the_scan(raw, monkeypatch, error, words):
    raw.add(1)
    monkeypatch.setattr(nnUNetDatasetBlosc2, "save_case", raising(error))
    with pytest.raises(UserError, match=words):
        preprocess_scan(prepared(raw), only_scan(raw))
    assert raw.dataset.scans.files() == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EIO, "Input/output error"), preprocessing.NOT_READ),
        (OSError(errno.EMFILE, "Too many open files"), preprocessing.NOT_READ),
        (ValueError("not a gzip file"), "it cannot be read"),
    ],
)
def test_a_file_that_the_machine_could_not_read_is_not_called_damaged(raw, monkeypatch, error, words):
    raw.add(1)

    def fail(path):
        raise error

    monkeypatch.setattr(preprocessing, "problem_of_file", fail)
    left_out = preprocess_scan(prepared(raw), only_scan(raw)).left_out
    assert left_out.startswith(words) and left_out.startswith(preprocessing.NOT_FOR_GOOD) == (
        words == preprocessing.NOT_READ
    )


@pytest.mark.parametrize("free", [0, 2**40])
def test_a_library_that_fails_on_a_full_disk_is_not_taken_for_a_bad_scan(raw, monkeypatch, free):
    raw.add(1)
    monkeypatch.setattr(nnUNetDatasetBlosc2, "save_case", raising(RuntimeError("could not append")))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**41, 0, free))
    if free:
        assert "preprocessor failed on it (could not append)" in preprocess_scan(prepared(raw), only_scan(raw)).left_out
    else:
        with pytest.raises(UserError, match="the disk has 0 MiB free"):
            preprocess_scan(prepared(raw), only_scan(raw))


def raising(error):
    def fail(*args, **kwargs):
        raise error

    return staticmethod(fail)


def test_a_new_scan_takes_the_place_of_the_old_one_whole(raw):
    raw.add(1)
    preprocess_scan(prepared(raw), only_scan(raw))
    write_raw(raw.scans, "scan_1", raw_image(9)[:, :10])
    entry = preprocess_scan(prepared(raw), only_scan(raw))
    image, segmentation, _, _ = nnUNetDatasetBlosc2(str(raw.dataset.scans.path)).load_case("scan_1")
    assert image.shape[1:] == segmentation.shape[1:] == tuple(entry.content.shape[1:])


def test_the_plans_own_preprocessor_and_reader_are_used(raw, monkeypatch):
    raw.add(1)
    raw.dataset.plans["image_reader_writer"] = "NibabelIO"
    used = []
    run = DefaultPreprocessor.run_case_npy

    def noted(self, data, seg, properties, plans, *rest):
        used.append(plans.image_reader_writer_class.__mro__[1].__name__)
        return run(self, data, seg, properties, plans, *rest)

    monkeypatch.setattr(DefaultPreprocessor, "run_case_npy", noted)
    assert preprocess_scan(prepared(raw), only_scan(raw)).content is not None
    assert used == ["NibabelIO"]
