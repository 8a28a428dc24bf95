"""What is looked at before trainings that take hours."""

from __future__ import annotations

import os
import shutil
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_lwi.comparison.preconditions import require_fitting_tests, require_same_data
from nnunetv2_lwi.errors import UserError
from tests.comparison.test_source import save_labels


def write_volume(path, shape) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros(shape, np.uint8)), str(path))


def test_a_test_case_whose_label_has_another_size_is_told(source, tmp_path):
    raw = tmp_path / "raw"
    for case, shape in (("a", (4, 5, 6)), ("b", (4, 5, 6))):
        write_volume(raw / "imagesTs" / f"{case}_0000.nii.gz", shape)
        write_volume(raw / "labelsTs" / f"{case}.nii.gz", (4, 5, 6))
    require_fitting_tests(replace(source, raw=raw).test_images)
    write_volume(raw / "labelsTs" / "b.nii.gz", (6, 4, 5))  # a reader of nnU-Net's may turn it round
    require_fitting_tests(replace(source, raw=raw).test_images)
    write_volume(raw / "labelsTs" / "b.nii.gz", (4, 5, 7))
    told = r"Test case b: .*labelsTs/b\.nii\.gz \(4, 5, 7\), imagesTs/b_0000\.nii\.gz \(4, 5, 6\)\. Correct or remove"
    with pytest.raises(UserError, match=told):
        require_fitting_tests(replace(source, raw=raw).test_images)


def test_files_that_have_no_such_header_are_left_to_nnunet(source, tmp_path):
    for name in ("imagesTs/a_0000", "labelsTs/a"):
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir()
        path.write_bytes(b"something else")
    require_fitting_tests(replace(source, raw=tmp_path).test_images)
    require_fitting_tests(None)


def test_data_that_changed_since_the_call_are_told(make_design, make_places, source):
    """By the case, and only to the trainings that read it; step 1 reads no labels."""
    runs = make_design(arms="random,lwi", counts=(2,), seeds=1).runs()
    step2, step1 = runs[1].training, runs[1].training.after
    for training in (step1, step2):
        require_same_data(source, "3d_fullres", training)
    configuration = source.plans["configurations"]["3d_fullres"]
    case = step2.train_cases[0]
    save_labels(source, configuration, lambda labels: np.roll(labels, 1, -1), case)
    require_same_data(source, "3d_fullres", step1)
    with pytest.raises(UserError, match=rf"have changed since the comparison was called \({case}\)\. Call the same command"):
        require_same_data(source, "3d_fullres", step2)
    other = next(name for name in make_design().pool if name not in step2.train_cases)
    folder = source.preprocessed / configuration["data_identifier"]
    shutil.copy(folder / f"{case}_seg.b2nd", folder / f"{other}_seg.b2nd")
    with pytest.raises(UserError, match=rf"\({case}\)"):
        require_same_data(source, "3d_fullres", step2)
    path = folder / f"{step1.train_cases[1]}.b2nd"
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(UserError, match=rf"\({step1.train_cases[1]}\)"):
        require_same_data(source, "3d_fullres", step1)


@pytest.mark.parametrize("gone", ["a case", "its labels", "everything"])
def test_data_that_are_gone_have_changed_too(make_design, source, gone):
    """As nnUNetv2_preprocess begins, which removes the folder."""
    (run,) = make_design(arms="random", counts=(2,), seeds=1).runs()
    training, folder = run.training, source.preprocessed / run.training.configuration["data_identifier"]
    case = training.train_cases[0]
    names = {"a case": [f"{case}.b2nd", f"{case}_seg.b2nd", f"{case}.pkl"], "its labels": [f"{case}_seg.b2nd"]}
    for path in [folder / name for name in names[gone]] if gone in names else list(folder.iterdir()):
        path.unlink()
    with pytest.raises(UserError, match="have changed since the comparison was called"):
        require_same_data(source, "3d_fullres", training)


def test_scans_that_come_while_a_step_1_trains_are_no_change_of_what_it_drew_from(make_design, source, monkeypatch):
    design = replace(make_design(arms="lwi_unlabelled", counts=(2,), seeds=1), scans={"scan_1": 100})
    training = design.runs()[0].training.after
    for scans, before, after in (
        ({"scan_1": 100}, True, True),
        ({"scan_1": 100, "new": 5}, False, True),
        ({}, False, False),
    ):
        monkeypatch.setattr(type(source), "scans", lambda *_, scans=scans: scans)
        for finished, allowed in ((False, before), (True, after)):
            with nullcontext() if allowed else pytest.raises(UserError, match="scans without labels"):
                require_same_data(source, "3d_fullres", training, finished)
