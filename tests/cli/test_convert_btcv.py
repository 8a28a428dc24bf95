"""``convert_btcv``: from the download to nnU-Net's raw folder, and the published splits on what it wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.datasets.published_splits import SPLITS
from nnunetv2_lwi.errors import UserError
from tests.tiny_btcv import write_tiny_btcv

NAME = "Dataset017_BTCV"
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's folders, of which none exists yet."""
    for variable in FOLDERS:
        monkeypatch.setenv(variable, str(tmp_path / variable))
    return tmp_path / "nnUNet_raw"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiny_btcv(tmp_path / "RawData", training=(1, 2), test=(61,))


def convert(source: Path, *more: str, dataset_id: str = "17") -> None:
    main(["convert_btcv", "-i", str(source), "-d", dataset_id, *more])


def files_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_it_says_what_it_wrote_what_is_missing_and_what_comes_next(source, raw, capsys):
    convert(source)
    out = capsys.readouterr().out
    assert f"Wrote {raw / NAME}: 2 training cases, 1 test images." in out
    assert "The published splits need also the cases 3, 4, 5, 6, 7, 8, 9, 10, 21, " in out
    assert "nnUNetv2_plan_and_preprocess -d 17 -c 3d_fullres --verify_dataset_integrity" in out
    assert "Warning" not in out


@pytest.mark.parametrize("which", ["synapse", "btcv"])
def test_the_published_splits_find_the_cases_of_the_conversion(tmp_path, raw, which, capsys):
    """``splits`` takes case names from the raw labels until nnU-Net has copied them."""
    numbers = sorted((*SPLITS[which].train, *SPLITS[which].val))
    convert(write_tiny_btcv(tmp_path / "RawData", training=numbers))
    assert "The published splits need" not in capsys.readouterr().out
    planned = tmp_path / "nnUNet_preprocessed" / NAME
    planned.mkdir(parents=True)
    shutil.copyfile(raw / NAME / "dataset.json", planned / "dataset.json")
    main(["splits", "-d", "17", "--which", which])
    (fold,) = json.loads((planned / "splits_final.json").read_text())
    assert fold["val"] == [f"img{number:04d}" for number in SPLITS[which].val]
    assert sorted(fold["train"] + fold["val"]) == [f"img{number:04d}" for number in numbers]


@pytest.mark.parametrize(
    ("dataset_id", "more", "named"),
    [
        ("0", [], "-d 0: a data set id is a whole number from 1 to 999"),
        ("1000", [], "-d 1000"),
        ("17", ["--name", "a__b"], "--name a__b"),
        ("17", ["--name", "../a"], "--name ../a"),
    ],
)
def test_names_that_nnunet_could_not_use_are_refused(source, raw, dataset_id, more, named):
    with pytest.raises(UserError, match=named):
        convert(source, *more, dataset_id=dataset_id)
    assert not raw.exists()


def test_an_unset_folder_is_told(source, raw, monkeypatch):
    monkeypatch.delenv("nnUNet_raw")
    with pytest.raises(UserError, match="nnUNet_raw is not set"):
        convert(source)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_id_of_another_data_set_is_refused(source, raw, folder):
    (raw.parent / folder / "Dataset017_Other").mkdir(parents=True)
    with pytest.raises(UserError, match="-d 17 is the id of Dataset017_Other already"):
        convert(source)
    assert not (raw / NAME).exists()


def test_an_earlier_conversion_is_replaced_only_when_told(source, raw):
    convert(source)
    (raw / NAME / "labelsTr" / "img0099.nii.gz").touch()
    with pytest.raises(UserError, match="append --overwrite"):
        convert(source)
    assert (raw / NAME / "labelsTr" / "img0099.nii.gz").exists()
    convert(source, "--overwrite")
    assert not (raw / NAME / "labelsTr" / "img0099.nii.gz").exists()
    assert [path.name for path in raw.iterdir()] == [NAME]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"converted_by": "me"}'])
def test_a_data_set_of_the_users_own_stays(source, raw, content):
    (raw / NAME).mkdir(parents=True)
    if content is not None:
        (raw / NAME / "dataset.json").write_text(content)
    before = files_below(raw)
    with pytest.raises(UserError, match="was not written by nnUNetv2_lwi convert_btcv and stays"):
        convert(source, "--overwrite")
    assert files_below(raw) == before


def test_a_download_inside_the_data_set_is_not_thrown_away(source, raw):
    convert(source)
    inside = raw / NAME / "RawData"
    shutil.move(source, inside)
    before = files_below(raw)
    with pytest.raises(UserError, match="would be replaced: move it"):
        convert(inside, "--overwrite")
    assert files_below(raw) == before


def test_a_download_that_is_refused_leaves_no_folder(source, raw):
    (source / "Training" / "label" / "label0002.nii.gz").write_bytes(b"")
    with pytest.raises(UserError, match=r"label0002\.nii\.gz cannot be read"):
        convert(source)
    assert not raw.exists()
