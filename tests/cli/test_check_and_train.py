"""``check`` against real checkpoints; what ``train`` runs, skips and resumes."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.jobs import execution, steps
from nnunetv2_lwi.nnunet import commands as nnunet_commands
from nnunetv2_lwi.nnunet.target import read_target
from nnunetv2_lwi.training import trial
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.nnunet.test_contents import rewrite
from tests.tiny_dataset import NAME, Options, make_case


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


def test_a_step_1_of_another_data_set_is_accepted_when_named(dataset, step1, capsys):
    other = "Dataset998_Other"
    (dataset.preprocessed / other).mkdir()
    shutil.copy(dataset.preprocessed / NAME / "dataset.json", dataset.preprocessed / other)
    write_plans(dataset, dataset_name=other)
    main(["check", str(step1), "-d", "998"])
    assert f"It fits {other}" in capsys.readouterr().out


def test_a_fold_must_be_a_number_or_all(dataset, step1, capsys):
    with pytest.raises(SystemExit):
        check(step1, "-f", "one")
    assert "'one' is no fold" in capsys.readouterr().err


@pytest.fixture
def commands(monkeypatch) -> list[list[str]]:
    """Records nnU-Net's commands in place of running them."""
    run: list[list[str]] = []

    def record(command, *_):
        run.append([Path(command[0]).name, *command[1:]])
        return 0

    monkeypatch.setattr(execution, "run_command", record)
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


@pytest.fixture
def step2(dataset, step1) -> Path:
    """The checkpoint of a finished step 2, and its validation."""
    dataset.trainer(nnUNetTrainerLWISeg).run_training()
    folder = dataset.output_folder("nnUNetTrainerLWISeg")
    finish(folder)
    finish(step1.parent)
    return folder / "checkpoint_final.pth"


def test_train_runs_what_is_left(step1, step2, commands):
    latest = step2.rename(step2.parent / "checkpoint_latest.pth")
    train()
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS, "--c"]]
    latest.rename(step2)
    commands.clear()
    train()
    assert commands == []
    shutil.rmtree(step2.parent)
    shutil.rmtree(step1.parent / "validation", ignore_errors=True)
    train()
    assert commands == [[*STEP, "nnUNetTrainerLWIInit", *PLANS, "--val"], [*STEP, "nnUNetTrainerLWISeg", *PLANS]]


def test_train_never_takes_a_step_2_of_other_settings_for_the_one_asked_for(dataset, step2, commands):
    train()
    assert commands == []
    lwi = dataset.plans["configurations"]["3d_fullres"]["lwi"]
    for seg, message in (({"lr": 0.5}, r"lwi\.seg\.lr: 0\.01, here 0\.5"), ({"start": "random"}, "lwi.seg.start: 'step1'")):
        write_plans(dataset, lwi={**lwi, "seg": {**lwi["seg"], **seg}})
        with pytest.raises(
            UserError, match=f"was trained otherwise than now asked for: {message}.*Move .* away, or use plans"
        ):
            train()
    step2.rename(step2.parent / "checkpoint_latest.pth")
    with pytest.raises(UserError, match=r"checkpoint_latest\.pth was trained otherwise"):
        train()
    assert commands == []


def test_train_never_takes_a_step_2_from_another_start_for_the_one_asked_for(dataset, step1, step2, commands, tmp_path):
    other = shutil.copy(step1, tmp_path)
    with pytest.raises(UserError, match=f"start: {step1}, here {other}"):
        train("--step1", other)
    train("--step1", str(step1))
    assert commands == []


def test_train_validates_again_where_a_kill_cut_the_summary_short(step2, commands):
    (step2.parent / "validation" / "summary.json").write_text('{"mean": {"Dic')
    train()
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS, "--val"]]


def test_train_starts_from_a_step_1_that_is_named_after_checking_it(dataset, step1, commands):
    train("--step1", str(step1))
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS, "-pretrained_weights", str(step1)]]
    write_plans(dataset, lwi={})
    commands.clear()
    with pytest.raises(UserError, match="cannot start this training"):
        train("--step1", str(step1))
    assert commands == []


def test_train_takes_no_step_1_of_other_cases_for_the_one_asked_for(dataset, step1, commands):
    finish(step1.parent)
    split = dataset.preprocessed / NAME / "splits_final.json"
    (first, *others) = json.loads(split.read_text())
    split.write_text(json.dumps([{"train": first["train"][1:], "val": first["val"]}, *others]))
    with pytest.raises(UserError, match=r"checkpoint_final\.pth was trained otherwise than now asked for: 1 training"):
        train()
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
    monkeypatch.setattr(execution, "run_command", lambda *_: 3)
    with pytest.raises(UserError, match="nnUNetTrainerLWIInit ended with exit code 3"):
        train()


def test_train_goes_on_with_a_step_2_where_its_step_1_is_not(step1, step2, commands, capsys):
    """A step 2 that was moved to another machine: what it started from is in it."""
    shutil.rmtree(step1.parent)
    train()
    assert commands == [] and "nnUNetTrainerLWIInit: skipped, step 2 has begun" in capsys.readouterr().out
    step2.rename(step2.parent / "checkpoint_latest.pth")
    train()
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS, "--c"]]


def write_probabilities(validation, case):
    np.savez_compressed(validation / f"{case}.npz", probabilities=np.zeros(9))
    (validation / f"{case}.pkl").touch()


def test_train_writes_probabilities_that_a_finished_fold_lacks(step1, step2, commands):
    validation = step2.parent / "validation"
    for case in ("a", "b"):
        (validation / f"{case}.nii.gz").touch()
    write_probabilities(validation, "a")
    train()
    assert commands == []
    train("--npz")
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS, "--npz", "--val"]]
    write_probabilities(validation, "b")
    commands.clear()
    train("--npz")
    assert commands == []


def test_train_takes_no_step_2_of_other_cases_or_labels_for_the_one_asked_for(dataset, step1, step2, commands):
    split = dataset.preprocessed / NAME / "splits_final.json"
    before = split.read_text()
    (first, *others) = json.loads(before)
    moved = {"train": [*first["train"][1:], *first["val"]], "val": first["train"][:1]}
    split.write_text(json.dumps([moved, *others]))
    with pytest.raises(UserError, match=r"was trained otherwise than now asked for: 1 training cases are new: case_\d"):
        train()
    split.write_text(before)
    cases = dataset.preprocessed / NAME / "nnUNetPlans_3d_fullres"
    image, segmentation = make_case(0, Options())
    rewrite(cases, "case_0", image, np.where(segmentation > 0, 3 - segmentation, segmentation))
    with pytest.raises(UserError, match="the preprocessed images or labels of 1 cases are others than then: case_0"):
        train()
    assert commands == []


@pytest.mark.parametrize("more", [("-num_gpus", "2"), ("-num_gpus", "2", "-device", "cuda")])
def test_train_tells_before_anything_that_there_are_not_so_many_gpus(dataset, commands, monkeypatch, more):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(UserError, match="-num_gpus 2"):
        train(*more)
    assert commands == [] and not list(dataset.results.iterdir())


def test_train_warns_of_a_step_2_that_a_gpu_is_too_small_for_before_step_1(dataset, commands, monkeypatch, capsys):
    """118 classes, say, on a card that step 1 with its one output fits on."""
    needed = {"init": 7 * 2**30, "seg": 13 * 2**30}
    monkeypatch.setattr(nnunet_commands, "in_a_process_of_its_own", lambda function: 8 * 2**30)
    monkeypatch.setattr(trial, "memory_of_steps", lambda *_: needed)
    steps.tell_what_does_not_fit(read_target("999", "nnUNetPlans", "3d_fullres", 0), 1)
    warnings = capsys.readouterr().err.splitlines()
    assert warnings == [
        "nnunetv2_lwi: WARNING: Step 2 takes about 13.0 GiB of GPU memory by estimate, and the GPU has 8.0 GiB: lower "
        "batch_size or patch_size (nnUNetv2_lwi plan --set), or take a smaller network."
    ]


def test_train_tells_before_anything_that_a_batch_is_too_small_for_the_gpus(dataset, commands, monkeypatch):
    """nnU-Net would end in an assertion, in each process."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    with pytest.raises(UserError, match="A batch of 3d_fullres has 2 samples, too few for 3 GPUs or processes"):
        train("-num_gpus", "3", "-device", "cuda")
    assert commands == [] and not list(dataset.results.iterdir())
