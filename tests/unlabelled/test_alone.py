"""A data set without labelled cases: its scans take their place in step 1."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from nnunetv2_lwi.unlabelled.alone import HELD_OUT_MOST, held_out, is_alone, on_scans_alone
from tests.tiny_dataset import NAME, add_scans


@pytest.fixture
def unlabelled(make_dataset):
    dataset = make_dataset(scans=4)
    shutil.rmtree(dataset.cases)
    shutil.rmtree(dataset.folder / "gt_segmentations")
    return dataset


def test_the_scans_are_the_data_only_where_there_are_no_cases(make_dataset, unlabelled):
    changed = on_scans_alone(unlabelled.plans, "3d_fullres")
    assert is_alone(changed["configurations"]["3d_fullres"]) and not is_alone(
        unlabelled.plans["configurations"]["3d_fullres"]
    )
    labelled = make_dataset("labelled", scans=2)
    assert on_scans_alone(labelled.plans, "3d_fullres") == labelled.plans
    bare = make_dataset("bare")
    shutil.rmtree(bare.cases)
    assert on_scans_alone(bare.plans, "3d_fullres") == bare.plans
    assert on_scans_alone(unlabelled.plans, "none") == unlabelled.plans


def test_step_1_trains_on_them_and_validates_on_some(unlabelled):
    trainer = unlabelled.trainer(nnUNetTrainerLWIInit, fold="all")
    trainer.run_training()
    trainer.perform_actual_validation()
    assert len(trainer.val_cases) == 1 and sorted(trainer.train_cases + trainer.val_cases) == [f"case_{n}" for n in range(4)]
    folder = unlabelled.output_folder("nnUNetTrainerLWIInit", "all")
    assert "3 scans without labels, no labelled cases; 1 more for validation" in next(folder.glob("*.txt")).read_text()
    checkpoint = torch.load(folder / "checkpoint_final.pth", weights_only=True)
    assert checkpoint["lwi"]["provenance"]["cases"] == sorted(trainer.train_cases)
    assert checkpoint["lwi"]["run"]["plan"]["data_identifier"] == "nnUNetPlans_3d_fullres"
    assert not (unlabelled.folder / "splits_final.json").exists() and (folder / "validation" / "summary.json").is_file()


def test_scans_that_come_meanwhile_change_nothing_of_what_it_validates(unlabelled):
    trainer = unlabelled.trainer(nnUNetTrainerLWIInit, fold="all")
    trainer.run_training()
    before = trainer.do_split()
    add_scans(unlabelled, {"a_first": 300, "b_second": 301})
    assert trainer.do_split() == before
    trainer.perform_actual_validation()
    summary = unlabelled.output_folder("nnUNetTrainerLWIInit", "all") / "validation" / "summary.json"
    assert [entry["case"] for entry in json.loads(summary.read_text())["metric_per_case"]] == before[1]


def test_it_resumes_and_more_scans_make_another_run(unlabelled):
    unlabelled.trainer(nnUNetTrainerLWIInit, fold="all").run_training()
    final = str(unlabelled.output_folder("nnUNetTrainerLWIInit", "all") / "checkpoint_final.pth")
    unlabelled.trainer(nnUNetTrainerLWIInit, fold="all").load_checkpoint(final)
    add_scans(unlabelled, {"more": 300})
    with pytest.raises(UserError, match="training cases are new: more"):
        unlabelled.trainer(nnUNetTrainerLWIInit, fold="all").load_checkpoint(final)


def test_its_step_1_starts_a_labelled_data_set_of_the_same_plan_and_is_told_what_it_saw(make_dataset, unlabelled):
    unlabelled.trainer(nnUNetTrainerLWIInit, fold="all").run_training()
    final = unlabelled.output_folder("nnUNetTrainerLWIInit", "all") / "checkpoint_final.pth"
    later = make_dataset("later")
    target = later.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"
    target.parent.mkdir(parents=True)
    shutil.copy(final, target)
    trainer = later.trainer(nnUNetTrainerLWISeg)
    trainer.run_training()
    assert trainer.start["kind"] == "step1"


def test_a_fold_is_refused_before_anything_is_written(unlabelled):
    with pytest.raises(UserError, match=r"No labelled case is preprocessed .*, or train fold all, not 0"):
        unlabelled.trainer(nnUNetTrainerLWIInit, fold=0)
    assert list(unlabelled.results.iterdir()) == [] and NAME in str(unlabelled.folder)


def test_one_scan_is_too_few(unlabelled):
    for number in range(1, 4):
        unlabelled.scans.remove(f"case_{number}")
    trainer = unlabelled.trainer(nnUNetTrainerLWIInit, fold="all")
    with pytest.raises(UserError, match="has 1 scans without labels: step 1 needs at least two"):
        trainer.run_training()
    assert list(unlabelled.results.iterdir()) == []


@given(st.integers(2, 1000))
def test_a_few_spread_over_the_list_are_held_out(count):
    names = [f"{number:04d}" for number in range(count)]
    train, val = held_out(names)
    assert sorted(train + val) == names and not set(train) & set(val)
    assert 1 <= len(val) <= HELD_OUT_MOST and len(val) <= max(1, round(0.05 * count))


def test_test_images_that_were_allowed_are_told_and_recorded(unlabelled):
    add_scans(unlabelled, {"tested": 300}, test_image="t")
    journal = unlabelled.scans.read()
    unlabelled.scans.begin(journal.made_for, True, list(journal.entries.values()))
    trainer = unlabelled.trainer(nnUNetTrainerLWIInit, fold="all")
    trainer.run_training()
    folder = unlabelled.output_folder("nnUNetTrainerLWIInit", "all")
    assert "allows: 1 (tested)" in next(folder.glob("*.txt")).read_text()
    ours = torch.load(folder / "checkpoint_final.pth", weights_only=True)["lwi"]
    assert ours["provenance"]["test_images"] == ["tested"]
