"""``splits``: published splits in a data set's own identifiers."""

from __future__ import annotations

import json

import pytest

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.datasets.published_splits import SPLITS, match_cases
from nnunetv2_lwi.errors import UserError

NAME = "Dataset017_Abdomen"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A preprocessed data set without cases."""
    for variable in ("nnUNet_preprocessed", "nnUNet_raw", "nnUNet_results"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    folder = tmp_path / "nnUNet_preprocessed" / NAME
    (folder / "gt_segmentations").mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({"file_ending": ".nii.gz"}))
    return folder


def add_cases(folder, numbers, pattern="img{:04d}") -> None:
    for number in numbers:
        (folder / f"{pattern.format(number)}.nii.gz").touch()


def numbers_of(which: str) -> list[int]:
    return sorted((*SPLITS[which].train, *SPLITS[which].val))


def splits(which: str, *more: str) -> None:
    main(["splits", "-d", "17", "--which", which, *more])


@pytest.mark.parametrize(("which", "train", "val"), [("synapse", 18, 12), ("lung", 50, 13), ("btcv", 24, 6)])
def test_published_splits_are_disjoint(which, train, val):
    split = SPLITS[which]
    assert (len(set(split.train)), len(set(split.val))) == (len(split.train), len(split.val)) == (train, val)
    assert not set(split.train) & set(split.val)


def test_btcv_and_synapse_are_two_splits_of_the_same_30_cases():
    assert numbers_of("btcv") == numbers_of("synapse") == [*range(1, 11), *range(21, 41)]


@pytest.mark.parametrize("which", SPLITS)
def test_the_split_is_written_as_fold_0(folder, which, capsys):
    add_cases(folder / "gt_segmentations", numbers_of(which))
    splits(which)
    (fold,) = json.loads((folder / "splits_final.json").read_text())
    assert fold["train"] == [f"img{number:04d}" for number in SPLITS[which].train]
    assert fold["val"] == [f"img{number:04d}" for number in SPLITS[which].val]
    assert f"{len(fold['train'])} training and {len(fold['val'])} validation" in capsys.readouterr().out


def test_labels_are_looked_for_in_the_raw_data_too(folder, tmp_path):
    labels = tmp_path / "nnUNet_raw" / NAME / "labelsTr"
    labels.mkdir(parents=True)
    add_cases(labels, numbers_of("lung"), "lung_{:03d}")
    splits("lung")
    assert json.loads((folder / "splits_final.json").read_text())[0]["val"][0] == "lung_001"


def test_cases_in_neither_part_are_told(folder, capsys):
    add_cases(folder / "gt_segmentations", [*numbers_of("btcv"), 77])
    splits("btcv")
    assert "1 cases of the data set are in neither" in capsys.readouterr().out


def test_an_existing_file_stays_unless_told_otherwise(folder):
    add_cases(folder / "gt_segmentations", numbers_of("btcv"))
    (folder / "splits_final.json").write_text("[]")
    with pytest.raises(UserError, match="append --overwrite"):
        splits("btcv")
    assert (folder / "splits_final.json").read_text() == "[]"
    splits("btcv", "--overwrite")
    assert json.loads((folder / "splits_final.json").read_text())


def test_missing_cases_are_named_and_nothing_is_written(folder):
    add_cases(folder / "gt_segmentations", [n for n in numbers_of("synapse") if n not in (7, 38)])
    with pytest.raises(UserError, match="No case ends in 7, 38"):
        splits("synapse")
    assert not (folder / "splits_final.json").exists()


def test_ambiguous_cases_are_named():
    identifiers = [f"img{number:04d}" for number in numbers_of("btcv")]
    with pytest.raises(UserError, match="same number: ct_5, img0005"):
        match_cases([*identifiers, "ct_5"], SPLITS["btcv"])


def test_identifiers_without_trailing_digits_are_left_out():
    identifiers = [f"case{number}" for number in numbers_of("btcv")]
    assert "case1b" not in match_cases([*identifiers, "case1b"], SPLITS["btcv"])["train"]


def test_a_data_set_that_does_not_exist_is_told(folder):
    with pytest.raises(UserError, match="Data set 99 should be one folder Dataset099_NAME"):
        main(["splits", "-d", "99", "--which", "btcv"])
    with pytest.raises(UserError, match="run nnUNetv2_plan_and_preprocess"):
        main(["splits", "-d", "Dataset099_None", "--which", "btcv"])


def test_a_data_set_without_labels_is_told(folder):
    with pytest.raises(UserError, match="No label files"):
        splits("btcv")
