"""The README's commands, as typed, with ``-device cpu`` appended: from raw images to scored predictions."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

from tests.end_to_end.workplace import TEST_CASES, UNLABELLED_SCANS, Workplace, on_the_cpu

README = Path(__file__).parents[2] / "README.md"
SETTINGS = {
    "init": {"epochs": 2},
    "seg": {"epochs": 2},
    "iterations_per_epoch": 2,
    "val_iterations_per_epoch": 1,
}


def readme_commands() -> list[str]:
    """Every line of the README's ``sh`` blocks, without its comment."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def insert_settings(place: Workplace) -> str:
    """A command that puts short settings and a small network into the plan, as a user would with an editor."""
    plans = place.root / "nnUNet_preprocessed" / place.dataset / "nnUNetPlans.json"
    code = (
        f"import json; path = {str(plans)!r}; plans = json.load(open(path)); "
        f"configuration = plans['configurations']['3d_fullres']; configuration.update(lwi={SETTINGS!r}, batch_size=2); "
        "network = configuration['architecture']['arch_kwargs']; "
        "network['features_per_stage'] = [features // 4 for features in network['features_per_stage']]; "
        "json.dump(plans, open(path, 'w'))"
    )
    return shlex.join([sys.executable, "-c", code])


def test_the_commands_lead_from_raw_images_to_scored_predictions(workplace: Workplace):
    commands = [on_the_cpu(command) for command in readme_commands()]
    assert sum(command.startswith("nnUNetv2_") for command in commands) == 7
    after_planning = next(i for i, command in enumerate(commands) if command.startswith("nnUNetv2_plan")) + 1
    commands.insert(after_planning, insert_settings(workplace))
    result = workplace.run("\n".join(commands))

    step1, step2 = workplace.model("nnUNetTrainerLWIInit"), workplace.model("nnUNetTrainerLWISeg")
    summary = json.loads((step1 / "fold_0" / "validation" / "summary.json").read_text())
    assert summary["mean"]["reconstruction_loss"] > 0
    decided = re.search(
        r"Left open by the plan: lwi\.order_weight = ([\d.]+)",
        next((step1 / "fold_0").glob("training_log_*.txt")).read_text(),
    )
    log = next((step1 / "fold_0").glob("training_log_*.txt")).read_text()
    assert f"of the fold and {UNLABELLED_SCANS} scans without labels" in log
    assert decided is not None and (summary["num_subvolumes"] >= 2) == (float(decided[1]) > 0)
    assert list((step1 / "fold_0" / "pictures").glob("*.png")) and list((step1 / "fold_0" / "validation").glob("*.png"))
    for folder in (step1, step2):
        torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True)
    log = next((step2 / "fold_0").glob("training_log_*.txt")).read_text()
    assert "Start: step 1 of Dataset004" in log
    assert "nnUNetTrainerLWIInit: skipped, step 2 has begun" in result.stdout
    assert result.stdout.count("finished, skipped") == 1 and "It fits Dataset004" in result.stdout

    predictions = workplace.root / "predictions"
    assert len(list(predictions.glob("*.nii.gz"))) == TEST_CASES
    arguments = [workplace.raw / "labelsTs", predictions, "-djfile", step2 / "dataset.json", "-pfile", step2 / "plans.json"]
    workplace.run(shlex.join(["nnUNetv2_evaluate_folder", *map(str, arguments)]))
    scores = json.loads((predictions / "summary.json").read_text())
    assert len(scores["metric_per_case"]) == TEST_CASES and 0 <= scores["foreground_mean"]["Dice"] <= 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("nnUNetv2_train 4 2d 0 -tr nnUNetTrainerLWIInit -device cpu", "Configuration 2d is 2D"),
        (
            "nnUNetv2_predict -i $IN -o $OUT/other -d 4 -c 3d_fullres -f 0 -tr nnUNetTrainerLWIInit -device cpu",
            "learns starting weights and cannot predict",
        ),
    ],
)
def test_a_mistake_ends_the_stock_commands_in_one_line(workplace: Workplace, command: str, message: str):
    """After the commands above; what they wrote stays as it was."""
    before = sorted(path for path in (workplace.root / "nnUNet_results").rglob("*"))
    result = workplace.run(f"export nnUNet_extTrainer=$(nnUNetv2_lwi trainers)\n{command}", check=False)
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("nnunetv2_lwi: ") and message in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(path for path in (workplace.root / "nnUNet_results").rglob("*")) == before
