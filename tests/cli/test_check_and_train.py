"""``check`` against real checkpoints; what ``train`` runs, skips and resumes."""

from __future__ import annotations

import json
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_lwi.cli import train as train_module
from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import NAME


@pytest.fixture
def step1(dataset) -> Path:
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.run_training()
    return dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"


def write_plans(dataset, name: str = "nnUNetPlans", dataset_name: str = NAME, **changes) -> None:
    plans = deepcopy(dataset.plans) | {"plans_name": name, "dataset_name": dataset_name}
    plans["configurations"]["3d_fullres"] |= changes
    save_json(plans, str(dataset.preprocessed / dataset_name / f"{name}.json"), sort_keys=False)


def check(path: Path, *more: str) -> None:
    main(["check", str(path), "-d", "999", *more])


def test_check_says_what_a_checkpoint_is_and_that_it_fits(step1, capsys):
    check(step1)
    out = capsys.readouterr().out
    assert f"step 1 of {NAME}, plans nnUNetPlans, configuration 3d_fullres, fold 0; 4 cases" in out
    assert "It fits" in out and "Warning" not in out


def test_check_warns_of_validation_cases_that_step_1_saw(step1, capsys):
    check(step1, "-f", "1")
    assert "Warning: step 1 saw the images (not the labels) of 1 of this fold's validation cases" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"spacing": [1.0, 1.0, 1.0]}, r"spacing: \[2.0, 1.0, 1.0\], here \[1.0, 1.0, 1.0\]"),
        ({"patch_size": [16, 16, 16]}, r"patch_size: \[8, 16, 16\], here \[16, 16, 16\]"),
        ({"lwi": {}}, "lwi.init.epochs: 2, here 200"),
    ],
)
def test_check_refuses_by_the_keys_that_differ(dataset, step1, changes, named):
    write_plans(dataset, "Other", **changes)
    with pytest.raises(UserError, match=named):
        check(step1, "-p", "Other")


def test_check_refuses_another_number_of_channels(dataset, step1):
    content = dataset.dataset_json | {"channel_names": {"0": "T1", "1": "T2"}}
    save_json(content, str(dataset.preprocessed / NAME / "dataset.json"))
    with pytest.raises(UserError, match="image_channels: 1, here 2"):
        check(step1)


def test_check_refuses_weights_that_do_not_match_their_own_digest(step1):
    content = torch.load(step1, weights_only=True)
    content["network_weights"]["encoder.stages.0.0.convs.0.conv.weight"] = torch.zeros(1)
    torch.save(content, step1)
    with pytest.raises(
        UserError, match=r"encoder\.stages\.0\.0\.convs\.0\.conv\.weight has shape \[1\], here \[4, 1, 3, 3, 3\]"
    ):
        check(step1)


def test_a_step_1_of_another_data_set_is_accepted_when_named(dataset, step1, capsys):
    other = "Dataset998_Other"
    (dataset.preprocessed / other).mkdir()
    shutil.copy(dataset.preprocessed / NAME / "dataset.json", dataset.preprocessed / other)
    write_plans(dataset, dataset_name=other)
    main(["check", str(step1), "-d", "998"])
    assert f"It fits {other}" in capsys.readouterr().out


def test_a_segmentation_checkpoint_is_no_step_1(dataset, step1):
    dataset.trainer(nnUNetTrainerLWISeg).run_training()
    path = dataset.output_folder("nnUNetTrainerLWISeg") / "checkpoint_final.pth"
    with pytest.raises(UserError, match="not the checkpoint of a step 1 but of trainer nnUNetTrainerLWISeg"):
        check(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-d", "997"], "Data set 997 should be one folder Dataset997_NAME, but there is none"),
        (["-d", "999", "-p", "Missing"], "Missing.json: run nnUNetv2_plan_and_preprocess -d 999"),
        (["-d", "999", "-c", "3d_lowres"], "have no configuration 3d_lowres"),
        (["-d", "999", "-c", "2d"], "2d is 2D"),
    ],
)
def test_a_target_that_does_not_exist_is_told(dataset, step1, arguments, message):
    with pytest.raises(UserError, match=message):
        main(["check", str(step1), *arguments])


def test_a_fold_must_be_a_number_or_all(dataset, step1, capsys):
    with pytest.raises(SystemExit):
        check(step1, "-f", "one")
    assert "'one' is no fold" in capsys.readouterr().err


def test_plans_whose_inner_name_differs_are_told(dataset, step1):
    shutil.copy(dataset.preprocessed / NAME / "nnUNetPlans.json", dataset.preprocessed / NAME / "Copy.json")
    with pytest.raises(UserError, match="says plans_name 'nnUNetPlans'"):
        check(step1, "-p", "Copy")


def test_plans_that_are_no_json_are_told(dataset, step1):
    (dataset.preprocessed / NAME / "nnUNetPlans.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        check(step1)


@pytest.fixture
def commands(monkeypatch) -> list[list[str]]:
    """Records nnU-Net's commands in place of running them."""
    run: list[list[str]] = []

    def record(command, **_):
        run.append([Path(command[0]).name, *command[1:]])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(train_module.subprocess, "run", record)
    return run


def finish(folder: Path, validated: bool = True) -> None:
    (folder / "validation").mkdir(parents=True, exist_ok=True)
    if not (folder / "checkpoint_final.pth").exists():
        (folder / "checkpoint_final.pth").touch()
    if validated:
        (folder / "validation" / "summary.json").write_text(json.dumps({}))


STEP = ["nnUNetv2_train", NAME, "3d_fullres", "0", "-tr"]
PLANS = ["-p", "nnUNetPlans", "-device", "cpu"]


def train(*more: str) -> None:
    main(["train", "999", "3d_fullres", "0", "-device", "cpu", *more])


def test_train_skips_a_finished_step_1(dataset, step1, commands, capsys):
    finish(step1.parent)
    train("--npz")
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS, "--npz"]]
    assert "nnUNetTrainerLWIInit: finished, skipped" in capsys.readouterr().out


def test_train_runs_what_is_left(dataset, step1, commands):
    shutil.rmtree(step1.parent / "validation", ignore_errors=True)
    seg = dataset.output_folder("nnUNetTrainerLWISeg")
    seg.mkdir(parents=True)
    (seg / "checkpoint_latest.pth").touch()
    train()
    assert commands == [[*STEP, "nnUNetTrainerLWIInit", *PLANS, "--val"], [*STEP, "nnUNetTrainerLWISeg", *PLANS, "--c"]]
    finish(seg)
    finish(step1.parent)
    commands.clear()
    train()
    assert commands == []


def test_train_starts_from_a_step_1_that_is_named_after_checking_it(dataset, step1, commands):
    train("--step1", str(step1))
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS, "-pretrained_weights", str(step1)]]
    write_plans(dataset, lwi={})
    commands.clear()
    with pytest.raises(UserError, match="cannot start this training"):
        train("--step1", str(step1))
    assert commands == []


def test_train_refuses_a_stale_step_1(dataset, step1, commands):
    finish(step1.parent)
    write_plans(dataset, lwi={"masking": {"ratio": 0.1}})
    with pytest.raises(UserError, match=r"lwi\.masking\.ratio: 0\.4, here 0\.1"):
        train()
    assert commands == []


def test_train_needs_no_step_1_where_the_plan_starts_random(dataset, commands, capsys):
    write_plans(dataset, lwi={"seg": {"start": "random"}})
    train()
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS]]
    assert 'the plan says "start": "random"' in capsys.readouterr().out


def test_train_stops_where_nnunet_failed(dataset, monkeypatch):
    monkeypatch.setattr(train_module.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 3))
    with pytest.raises(UserError, match="nnUNetTrainerLWIInit ended with exit code 3"):
        train()
