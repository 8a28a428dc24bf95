"""Raw scans are found by nnU-Net's naming, and what stands beside them is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.unlabelled.raw_scans import find_scans, require_other_folders, scans_if_any


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_scans_have_a_file_for_every_channel_in_their_order(tmp_path):
    folder = touch(tmp_path / "a", "b_0001.nii.gz", "b_0000.nii.gz", "a_0_0000.nii.gz", "a_0_0001.nii.gz")
    found = find_scans([folder], ".nii.gz", 2)
    assert [scan.name for scan in found.scans] == ["a_0", "b"] and found.incomplete == {}
    assert [path.name for path in found.scans[1].files] == ["b_0000.nii.gz", "b_0001.nii.gz"]


def test_a_scan_without_a_channel_is_named_and_the_others_stay(tmp_path):
    folder = touch(tmp_path / "a", "a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz", "c_0001.nii.gz")
    found = find_scans([folder], ".nii.gz", 2)
    assert [scan.name for scan in found.scans] == ["b"]
    assert found.incomplete == {"a": "there is no a_0001.nii.gz", "c": "there is no c_0000.nii.gz"}


def test_files_of_channels_that_the_data_set_lacks_are_not_overlooked(tmp_path):
    """A lab's own numbers, say, of which only the first looks like a channel; or other scans than the data set's."""
    folder = touch(tmp_path / "a", *(f"img_{number:04d}.nii.gz" for number in range(20)), "b_0000.nii.gz")
    found = find_scans([folder], ".nii.gz", 1)
    assert [scan.name for scan in found.scans] == ["b"]
    assert "the data set has 1 channels, and there is img_0001.nii.gz, " in found.incomplete["img"]
    assert [scan.name for scan in scans_if_any(folder, {"file_ending": ".nii.gz", "channel_names": {"0": "CT"}})] == [
        "b",
        "img",
    ]


def test_a_name_that_nnunet_takes_for_a_segmentation_is_left_out(tmp_path):
    found = find_scans([touch(tmp_path / "a", "b_0000.nii.gz", "b_seg_0000.nii.gz")], ".nii.gz", 1)
    assert [scan.name for scan in found.scans] == ["b"] and "end in _seg: rename it" in found.incomplete["b_seg"]


def test_what_others_leave_beside_scans_is_no_scan(tmp_path):
    others = ("._a_0000.nii.gz", ".DS_Store", "notes.txt", "b_0000.nii", "b.nii.gz", "desktop.ini")
    folder = touch(tmp_path / "a", "a_0000.nii.gz", *others)
    (folder / "c_0000.nii.gz").mkdir()
    assert [scan.name for scan in find_scans([folder], ".nii.gz", 1).scans] == ["a"]


def test_several_folders_are_one_list(tmp_path):
    folders = [touch(tmp_path / name, f"{name}_0000.mha") for name in "ab"]
    assert [scan.name for scan in find_scans(folders, ".mha", 1).scans] == ["a", "b"]


@pytest.mark.parametrize("other", ["a_0000.nii.gz", "A_0000.nii.gz"])
def test_two_scans_of_one_name_are_refused(tmp_path, other):
    folders = [touch(tmp_path / "one", "a_0000.nii.gz"), touch(tmp_path / "two", other)]
    with pytest.raises(UserError, match=r"Two scans go by one name: .*one/a_0000.nii.gz and .*two/"):
        find_scans(folders, ".nii.gz", 1)


def test_names_that_upper_case_alone_tells_apart_are_refused_in_one_folder_too(tmp_path):
    folder = touch(tmp_path / "one", "a_0000.nii.gz", "A_0000.nii.gz")
    if len(list(folder.iterdir())) == 2:
        with pytest.raises(UserError, match="Two scans go by one name"):
            find_scans([folder], ".nii.gz", 1)


@pytest.mark.parametrize(
    ("names", "why"), [((), "it is empty"), (("a.nii.gz", "b_0000.nrrd"), "none of its 2 entries is one")]
)
def test_a_folder_without_scans_is_refused(tmp_path, names, why):
    with pytest.raises(UserError, match=f"holds no scan named SCAN_0000.nii.gz.*{why}"):
        find_scans([touch(tmp_path / "a", *names)], ".nii.gz", 1)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="There is no folder"):
        find_scans([tmp_path / "a"], ".nii.gz", 1)


@pytest.mark.parametrize("own", ["imagesTr", "imagesTs", "labelsTr"])
def test_the_data_sets_own_folders_are_refused_also_through_a_link(tmp_path, own):
    touch(tmp_path / own)
    (tmp_path / "link").symlink_to(tmp_path / own)
    for folder in (tmp_path / own, tmp_path / "link"):
        with pytest.raises(UserError, match=f"is the data set's own {own}"):
            require_other_folders([folder], tmp_path)
    require_other_folders([touch(tmp_path / "imagesUn")], tmp_path)


def test_the_state_of_a_scan_changes_with_its_files(tmp_path):
    folder = touch(tmp_path / "a", "a_0000.nii.gz")
    (scan,) = find_scans([folder], ".nii.gz", 1).scans
    before = scan.state()
    assert scan.state() == before
    (folder / "a_0000.nii.gz").write_bytes(b"x")
    assert scan.state() != before


def test_a_part_of_the_data_set_may_be_empty_or_missing(tmp_path):
    json = {"file_ending": ".nii.gz", "channel_names": {"0": "CT"}}
    assert scans_if_any(tmp_path / "none", json) == [] == scans_if_any(touch(tmp_path / "empty"), json)
    assert scans_if_any(touch(tmp_path / "other", "README.md", "a.nii.gz"), json) == []
    assert [scan.name for scan in scans_if_any(touch(tmp_path / "a", "a_0000.nii.gz"), json)] == ["a"]
