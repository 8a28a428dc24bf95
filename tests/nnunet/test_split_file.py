"""Too few cases for a fold: told before anything is written, where nnU-Net would stop with a traceback."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet_module
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet import split_file
from nnunetv2_lwi.nnunet.split_file import SPLIT_FILE, cases_of_fold, read_splits
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import NAME

BOTH = pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])


@BOTH
@pytest.mark.parametrize(("cases", "said"), [(1, "1 preprocessed case, fewer"), (4, "4 preprocessed cases, fewer")])
def test_fewer_cases_than_folds(make_dataset, cls, cases, said):
    dataset = make_dataset(cases=cases)
    with pytest.raises(UserError, match=rf"{said}.*train with fold all, or write your own folds to .*splits_final\.json"):
        dataset.trainer(cls)
    assert list(dataset.results.iterdir()) == []
    assert not (dataset.preprocessed / NAME / "splits_final.json").exists()


@BOTH
def test_one_case_and_a_fold_that_the_split_has_not(make_dataset, cls):
    """nnU-Net would draw 80 % of one case, which is none."""
    dataset = make_dataset(cases=1)
    split = [{"train": ["case_0"], "val": ["case_0"]}]
    (dataset.preprocessed / NAME / "splits_final.json").write_text(json.dumps(split))
    with pytest.raises(UserError, match=r"1 preprocessed case, and .* has no fold 1"):
        dataset.trainer(cls, fold=1)
    assert list(dataset.results.iterdir()) == []


@BOTH
def test_other_files_among_the_cases(dataset, cls):
    (dataset.preprocessed / NAME / "nnUNetPlans_3d_fullres" / "notes.txt").write_text("")
    with pytest.raises(
        UserError,
        match=r"no preprocessed cases, which nnU-Net would stumble over: notes\.txt\. Remove",
    ):
        dataset.trainer(cls)
    assert list(dataset.results.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["._case_0.b2nd", "._case_0.pkl", ".DS_Store", ".nfs00000000c0ffee", "desktop.ini", "Thumbs.db"]
)
def test_what_systems_leave_beside_the_cases_is_named(dataset, name):
    (dataset.preprocessed / NAME / "nnUNetPlans_3d_fullres" / name).write_bytes(bytes(10))
    with pytest.raises(UserError) as error:
        dataset.trainer(nnUNetTrainerLWIInit)
    assert name in error.value.message and "Remove them" in error.value.message
    assert list(dataset.results.iterdir()) == []


def test_a_split_that_is_being_written_is_waited_for(tmp_path, monkeypatch, capsys):
    """Five folds of a new data set started at once: one reads what another writes."""
    path, whole = tmp_path / SPLIT_FILE, json.dumps([{"train": ["a"], "val": ["b"]}])
    path.write_text(whole[:15])
    looks = []

    def write_on(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            path.write_text(whole)

    monkeypatch.setattr(split_file, "sleep", write_on)
    assert read_splits(tmp_path) == [{"train": ["a"], "val": ["b"]}]
    assert len(looks) == 3 and capsys.readouterr().err.count("is no JSON yet: waiting for who writes it") == 1


def test_a_split_that_nobody_writes_is_not_waited_for(tmp_path, monkeypatch):
    path = tmp_path / SPLIT_FILE
    path.write_text("[{")
    os.utime(path, (0, 0))
    monkeypatch.setattr(split_file, "sleep", lambda _: pytest.fail("waited"))
    with pytest.raises(UserError, match=r"splits_final\.json is no JSON"):
        read_splits(tmp_path)


def test_a_split_file_that_is_a_folder(dataset):
    (dataset.preprocessed / NAME / SPLIT_FILE).mkdir()
    with pytest.raises(UserError, match=r"splits_final\.json is a folder: remove it"):
        dataset.trainer(nnUNetTrainerLWIInit)
    assert list(dataset.results.iterdir()) == []


@BOTH
def test_cases_that_came_after_the_split_are_told_once(dataset, cls):
    folder = dataset.preprocessed / NAME
    cases = [f"case_{number}" for number in range(5)]
    (folder / SPLIT_FILE).write_text(json.dumps([{"train": cases[:2], "val": cases[2:3]}]))
    trainer = dataset.trainer(cls, seg={"epochs": 1, "start": "random"})
    trainer.initialize()
    for _ in range(2):
        trainer.do_split()
    told = [line for line in Path(trainer.log_file).read_text().splitlines() if "in no fold of" in line]
    assert len(told) == 1 and "WARNING: 2 preprocessed cases are in no fold" in told[0] and "case_3, case_4" in told[0]


def test_the_cases_of_a_fold(dataset):
    folder, data = dataset.preprocessed / NAME, "nnUNetPlans_3d_fullres"
    assert cases_of_fold(folder, data, 0) is None, "nnU-Net has yet to draw them"
    (folder / SPLIT_FILE).write_text(json.dumps([{"train": ["case_0"], "val": ["case_1"]}]))
    assert cases_of_fold(folder, data, 0) == (["case_0"], ["case_1"])
    assert cases_of_fold(folder, data, 1) is None, "nnU-Net draws 80 % at random"
    everything = cases_of_fold(folder, data, "all")
    assert everything is not None and sorted(everything.train) == sorted(everything.val) == [f"case_{n}" for n in range(5)]


@BOTH
def test_the_split_is_nnunets_own_and_written_at_once(make_dataset, cls, monkeypatch):
    """nnU-Net writes it in place: of ranks that start together, one read it half written now and then."""
    dataset = make_dataset()
    trainer, path = dataset.trainer(cls), dataset.preprocessed / NAME / SPLIT_FILE
    expected = nnUNetTrainer.do_split(trainer)
    theirs = json.loads(path.read_text())
    path.unlink()
    monkeypatch.setattr(nnunet_module, "save_json", None)
    assert trainer.do_split() == expected
    assert json.loads(path.read_text()) == theirs and len(theirs) == 5
