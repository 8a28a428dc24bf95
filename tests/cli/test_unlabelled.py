"""``nnUNetv2_lwi unlabelled`` as it is typed: what it says, and its exit code."""

from __future__ import annotations

import shutil
from copy import deepcopy

import numpy as np
import pytest
from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_lwi.cli import unlabelled as command
from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.unlabelled import update as module
from nnunetv2_lwi.unlabelled.preprocessing import preprocess_scan, read_raw
from tests.raw_scans import make_raw_dataset, raw_image, write_raw


@pytest.fixture
def raw(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    return make_raw_dataset(dataset, tmp_path / "raw")


@pytest.fixture
def in_this_process(monkeypatch):
    """Without pools, which take seconds to begin; they are used in the first test and in the tests of kills."""

    def one_by_one(preparation, scans, processes):
        preparation.partial.mkdir(parents=True, exist_ok=True)
        return (preprocess_scan(preparation, scan) for scan in scans)

    monkeypatch.setattr(module, "preprocess", one_by_one)

    def read_here(plans, cases, processes):
        return {case.name: content for case in cases if (content := read_raw(plans, case)) is not None}

    monkeypatch.setattr(module, "read_test_images", read_here)


def unlabelled(*more):
    main(["unlabelled", "-d", "999", "-np", "2", *map(str, more)])


def spoil(raw):
    write_raw(raw.scans, "constant", np.ones((1, 6, 7, 8), np.float32))


def test_every_scan_is_made_for_step_1(raw, capsys):
    raw.add(1, 2, 3)
    unlabelled()
    out = capsys.readouterr().out
    assert f"3 scans without labels in {raw.scans}." in out
    assert "Preprocessed they take about 0.00 GiB in" in out
    assert "3d_fullres: 3 scans without labels for step 1 (3 preprocessed now), 0 left out" in out
    assert sorted(raw.dataset.scans.files()) == ["scan_1", "scan_2", "scan_3"]


def test_some_left_out_has_an_exit_code_of_its_own(raw, capsys, in_this_process):
    raw.add(1)
    spoil(raw)
    with pytest.raises(SystemExit) as ended:
        unlabelled()
    assert ended.value.code == command.SOME_LEFT_OUT == 3
    out = capsys.readouterr().out
    assert "Left out: constant: every voxel of channel 0 is the same." in out
    assert "1 scans without labels for step 1 (1 preprocessed now), 1 left out" in out


def test_none_is_an_error(raw, in_this_process):
    spoil(raw)
    with pytest.raises(UserError, match="No scan can be used; the reasons stand above") as error:
        unlabelled()
    assert isinstance(error.value.code, str), "exit code 1"


def test_a_test_image_is_told_and_is_no_fault(raw, capsys, in_this_process):
    raw.add(1, 2)
    write_raw(raw.folder / "imagesTs", "t", raw_image(2))
    unlabelled()
    out = capsys.readouterr().out
    assert "Left out: scan_2: it is the image of t in imagesTs (--allow-test-images keeps it" in out
    unlabelled("--allow-test-images")
    assert "2 scans without labels for step 1 (1 preprocessed now), 0 left out" in capsys.readouterr().out


def test_another_folder_is_only_read_and_nothing_raw_is_needed(raw, monkeypatch, tmp_path, capsys, in_this_process):
    elsewhere = tmp_path / "elsewhere"
    write_raw(elsewhere, "scan", raw_image(1))
    monkeypatch.delenv("nnUNet_raw")
    before = {path: path.stat().st_mtime_ns for path in [elsewhere, *elsewhere.iterdir()]}
    unlabelled("-i", elsewhere)
    out = capsys.readouterr().out
    assert "1 scans without labels for step 1" in out
    assert "WARNING: Dataset999_Tiny is not in nnUNet_raw, so that no scan is compared with its test images" in out
    assert before == {
        path: path.stat().st_mtime_ns for path in [tmp_path / "elsewhere", *(tmp_path / "elsewhere").iterdir()]
    }


def test_several_configurations_at_once(raw, capsys, in_this_process):
    plans = deepcopy(raw.dataset.plans)
    low = {"inherits_from": "3d_fullres", "spacing": [4.0, 2.0, 2.0], "data_identifier": "nnUNetPlans_3d_lowres"}
    plans["configurations"]["3d_lowres"] = low
    save_json(plans, str(raw.dataset.folder / "nnUNetPlans.json"), sort_keys=False)
    raw.add(1)
    unlabelled("-c", "3d_fullres", "3d_lowres")
    out = capsys.readouterr().out
    assert "3d_fullres: 1 scans" in out and "3d_lowres: 1 scans" in out
    assert (raw.dataset.folder / "nnUNetPlans_3d_lowres_unlabelled_lwi" / "scan_1.b2nd").is_file()


def test_what_is_gone_stays_until_it_is_pruned(raw, capsys, in_this_process):
    raw.add(1, 2)
    unlabelled()
    (raw.scans / "scan_1_0000.nii.gz").unlink()
    unlabelled()
    assert (
        "1 scans made earlier are not in these folders; they stay in use (--prune removes them)" in capsys.readouterr().out
    )
    unlabelled("--prune")
    assert "1 scans whose files are no longer there were removed" in capsys.readouterr().out


def test_too_little_room_is_told_before(raw, monkeypatch, capsys, in_this_process):
    raw.add(1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**41, 0, 10))
    unlabelled()
    assert "WARNING: that is more than is free." in capsys.readouterr().out


def test_test_images_that_cannot_be_read_are_told(raw, capsys, in_this_process):
    raw.add(1)
    write_raw(raw.folder / "imagesTs", "t", raw_image(2))
    for name in ("u_0000.nii.gz", "other.nrrd", ".DS_Store"):
        (raw.folder / "imagesTs" / name).write_bytes(b"no image")
    unlabelled()
    told = "WARNING: no scan is compared with 2 entries of imagesTs, which cannot be read: u, other.nrrd."
    assert told in capsys.readouterr().out
