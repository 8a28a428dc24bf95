"""The README's commands, as typed, with ``-device cpu`` appended: from raw images to scored predictions.

On a few cases of the data set that the environment variable NNUNETV2_LWI_TEST_DATASET names (nnU-Net's raw format, with
imagesTs and labelsTs), else on the phantom.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from nnunetv2_lwi.phantom import write_phantom

README = Path(__file__).parents[2] / "README.md"
SETTINGS = {
    "init": {"epochs": 2},
    "seg": {"epochs": 2},
    "iterations_per_epoch": 2,
    "val_iterations_per_epoch": 1,
}
TRAINING_CASES, TEST_CASES = 6, 3


@dataclass(frozen=True)
class Workplace:
    """nnU-Net's folders, with data set 4 in the raw one."""

    root: Path
    dataset: str

    @property
    def raw(self) -> Path:
        """Of the data set."""
        return self.root / "nnUNet_raw" / self.dataset

    def model(self, trainer: str) -> Path:
        """Where a trainer writes."""
        return self.root / "nnUNet_results" / self.dataset / f"{trainer}__nnUNetPlans__3d_fullres"

    def run(self, script: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell script as a user would, in an environment of its own."""
        folders = {name: str(self.root / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
        more = {"IN": str(self.raw / "imagesTs"), "OUT": str(self.root / "predictions"), "nnUNet_n_proc_DA": "1"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **folders, **more, "PATH": path, "nnUNet_def_n_proc": "2", "nnUNet_compile": "f"}
        command = ["bash", "-euo", "pipefail", "-c", script]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert not check or result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        return result


def copy_some_cases(source: Path, target: Path) -> None:
    """The first few cases of a raw data set; the source is only read."""
    description = json.loads((source / "dataset.json").read_text())
    ending = description["file_ending"]
    for subset, count in (("Tr", TRAINING_CASES), ("Ts", TEST_CASES)):
        for folder in (f"images{subset}", f"labels{subset}"):
            (target / folder).mkdir(parents=True)
        for label in sorted((source / f"labels{subset}").glob(f"*{ending}"))[:count]:
            case = label.name.removesuffix(ending)
            for path in [label, *(source / f"images{subset}").glob(f"{case}_????{ending}")]:
                shutil.copyfile(path, target / path.parent.name / path.name)
    (target / "dataset.json").write_text(json.dumps(description | {"numTraining": TRAINING_CASES}))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """With the data in place and nothing run yet."""
    root = tmp_path_factory.mktemp("nnunet")
    given = os.environ.get("NNUNETV2_LWI_TEST_DATASET")
    if given:
        place = Workplace(root, "Dataset004_Given")
        copy_some_cases(Path(given), place.raw)
    else:
        place = Workplace(root, "Dataset004_Phantom")
        write_phantom(place.raw, cases=TRAINING_CASES, test_cases=TEST_CASES)
    yield place
    shutil.rmtree(root)


def readme_commands() -> list[str]:
    """Every line of the README's ``sh`` blocks, without its comment."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def on_the_cpu(command: str) -> str:
    """The command with ``-device cpu`` appended where it takes a device."""
    takes_device = command.startswith(("nnUNetv2_train ", "nnUNetv2_predict ", "nnUNetv2_lwi train "))
    return f"{command} -device cpu" if takes_device else command


def insert_settings(place: Workplace) -> str:
    """A command that puts short settings into the plan, as a user would with an editor."""
    plans = place.root / "nnUNet_preprocessed" / place.dataset / "nnUNetPlans.json"
    code = (
        f"import json; path = {str(plans)!r}; plans = json.load(open(path)); "
        f"plans['configurations']['3d_fullres']['lwi'] = {SETTINGS!r}; json.dump(plans, open(path, 'w'))"
    )
    return shlex.join([sys.executable, "-c", code])


def test_the_commands_lead_from_raw_images_to_scored_predictions(workplace: Workplace):
    commands = [on_the_cpu(command) for command in readme_commands()]
    assert sum(command.startswith("nnUNetv2_") for command in commands) == 6
    after_planning = next(i for i, command in enumerate(commands) if command.startswith("nnUNetv2_plan")) + 1
    commands.insert(after_planning, insert_settings(workplace))
    result = workplace.run("\n".join(commands))

    step1, step2 = workplace.model("nnUNetTrainerLWIInit"), workplace.model("nnUNetTrainerLWISeg")
    summary = json.loads((step1 / "fold_0" / "validation" / "summary.json").read_text())
    assert summary["mean"]["reconstruction_loss"] > 0 and summary["num_subvolumes"] >= 2
    assert list((step1 / "fold_0" / "pictures").glob("*.png")) and list((step1 / "fold_0" / "validation").glob("*.png"))
    for folder in (step1, step2):
        torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True)
    log = next((step2 / "fold_0").glob("training_log_*.txt")).read_text()
    assert "Start: the weights that were loaded into the network (-pretrained_weights)" in log
    assert result.stdout.count("finished, skipped") == 2 and "It fits Dataset004" in result.stdout

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
