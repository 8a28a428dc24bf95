"""Small presets from the plan to scored predictions, by the commands that ``nnUNetv2_lwi plan`` prints."""

from __future__ import annotations

import json
import shlex

import pytest
import torch

from tests.end_to_end.workplace import TEST_CASES, Workplace, on_the_cpu

SHORT = {
    "lwi.init.epochs": 2,
    "lwi.seg.epochs": 2,
    "lwi.init.warmup_epochs": 0,
    "lwi.seg.warmup_epochs": 0,
    "lwi.iterations_per_epoch": 2,
    "lwi.val_iterations_per_epoch": 1,
}


@pytest.fixture(scope="module")
def planned(workplace: Workplace) -> Workplace:
    """Planned and preprocessed by nnU-Net, 3D only."""
    workplace.run("nnUNetv2_plan_and_preprocess -d 4 -c 3d_fullres -np 2")
    return workplace


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["unetr_small", "unetr_pp_small", "swin_unetr_small", "primus_small"])
def test_a_small_preset_learns_its_start_segments_and_predicts(planned: Workplace, preset: str):
    options = " ".join(f"--set {key}={value}" for key, value in SHORT.items())
    printed = planned.run(f"nnUNetv2_lwi plan -d 4 --preset {preset} {options}").stdout
    commands = [on_the_cpu(line.strip()) for line in printed.split("Next:")[1].splitlines() if line.strip()]
    assert [command.split()[0] for command in commands] == ["nnUNetv2_train", "nnUNetv2_train", "nnUNetv2_predict"]
    out = planned.root / f"predictions_{preset}"
    predict = commands.pop().replace("-i IN -o OUT", f"-i $IN -o {shlex.quote(str(out))} --disable_tta")
    planned.run("\n".join(["export nnUNet_extTrainer=$(nnUNetv2_lwi trainers)", *commands, predict]))

    step1, step2 = (
        planned.model(trainer, f"nnUNetPlans_{preset}", preset)
        for trainer in ("nnUNetTrainerLWIInit", "nnUNetTrainerLWISeg")
    )
    start, end = (
        torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True)["network_weights"]
        for folder in (step1, step2)
    )
    assert start.keys() == end.keys()
    assert "Start: step 1 of Dataset004" in next((step2 / "fold_0").glob("training_log_*.txt")).read_text()
    assert len(list((step1 / "fold_0" / "validation").glob("*.png"))) >= 1
    assert len(list(out.glob("*.nii.gz"))) == TEST_CASES
    files = ["-djfile", step2 / "dataset.json", "-pfile", step2 / "plans.json"]
    planned.run(shlex.join(["nnUNetv2_evaluate_folder", *map(str, [planned.raw / "labelsTs", out, *files])]))
    assert 0 <= json.loads((out / "summary.json").read_text())["foreground_mean"]["Dice"] <= 1
