"""The demo's commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_lwi.demonstration.place import Demo
from nnunetv2_lwi.demonstration.plans import DEMO_PLANS
from nnunetv2_lwi.demonstration.stages import stages
from nnunetv2_lwi.names import STEP1_TRAINER, STEP2_TRAINER


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.mark.parametrize(("device", "appended"), [("cpu", ["-device", "cpu"]), ("cuda", [])])
def test_the_commands_are_the_stock_ones(output, device, appended):
    for folder in ("imagesTs", "labelsTs"):
        (output / "nnUNet_raw" / "Dataset007_Mine" / folder).mkdir(parents=True)
        (output / "nnUNet_raw" / "Dataset007_Mine" / folder / "a.nii.gz").touch()
    lines = {stage.name: stage.command for stage in stages(Demo(output, "Dataset007_Mine", device))}
    assert lines["step1"][1:] == ["7", "3d_fullres", "0", "-tr", STEP1_TRAINER, "-p", DEMO_PLANS, *appended]
    assert lines["step2"][5:9] == [STEP2_TRAINER, "-p", DEMO_PLANS, "-pretrained_weights"]
    assert lines["step2"][9].endswith(f"{STEP1_TRAINER}__{DEMO_PLANS}__3d_fullres/fold_0/checkpoint_final.pth")
    assert {Path(line[0]).name for line in lines.values()} == {
        "nnUNetv2_plan_and_preprocess",
        "nnUNetv2_train",
        "nnUNetv2_predict",
        "nnUNetv2_evaluate_folder",
    }
