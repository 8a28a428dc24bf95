"""NIfTI files that ITK reads without a word, with zeros in the place of what is missing."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_lwi.nnunet.whole_files import problem_of_file

IMAGE = np.random.default_rng(0).standard_normal((7, 8, 9)).astype(np.float32)


def write(path, image=IMAGE):
    sitk.WriteImage(sitk.GetImageFromArray(image), str(path))
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16, np.uint8])
def test_whole_files_are_fine(tmp_path, ending, kind):
    assert problem_of_file(write(tmp_path / f"a{ending}", IMAGE.astype(kind))) is None


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0.3, 0.5, 0.99])
def test_what_a_copy_left_half_done_is_told_where_itk_says_nothing(tmp_path, ending, kept):
    path = write(tmp_path / f"a{ending}")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert "cut short" in problem_of_file(path)


def test_a_damaged_file_is_told(tmp_path):
    path = write(tmp_path / "a.nii.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert "cut short or damaged" in problem_of_file(path)


def test_nan_is_told_which_itk_hides(tmp_path):
    image = IMAGE.copy()
    image[1, 2, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), tmp_path / "a.nii.gz")
    assert problem_of_file(tmp_path / "a.nii.gz") == "it has NaN or infinite voxels"


@pytest.mark.parametrize("content", [b"", b"no image" * 100])
def test_what_is_no_nifti_is_told(tmp_path, content):
    (tmp_path / "a.nii").write_bytes(content)
    assert problem_of_file(tmp_path / "a.nii") is not None


def test_other_formats_are_their_readers_affair(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"whatever")
    assert problem_of_file(tmp_path / "a.nrrd") is None


def test_a_second_kind_of_nifti_is_read_too(tmp_path):
    nibabel.save(nibabel.Nifti2Image(IMAGE, np.eye(4)), tmp_path / "a.nii.gz")
    assert problem_of_file(tmp_path / "a.nii.gz") is None
