"""nnU-Net's folders with a few cases in the raw one, and a shell to type commands into."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TRAINING_CASES, TEST_CASES, UNLABELLED_SCANS = 5, 2, 2


@dataclass(frozen=True)
class Workplace:
    """nnU-Net's folders, with data set 4 in the raw one."""

    root: Path
    dataset: str

    @property
    def raw(self) -> Path:
        """Of the data set."""
        return self.root / "nnUNet_raw" / self.dataset

    def model(self, trainer: str, plans: str = "nnUNetPlans", configuration: str = "3d_fullres") -> Path:
        """Where a trainer writes."""
        return self.root / "nnUNet_results" / self.dataset / f"{trainer}__{plans}__{configuration}"

    def run(self, script: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell script as a user would, in an environment of its own."""
        folders = {name: str(self.root / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
        more = {"IN": str(self.raw / "imagesTs"), "OUT": str(self.root / "predictions"), "nnUNet_n_proc_DA": "1"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **folders, **more, "PATH": path, "nnUNet_def_n_proc": "1", "nnUNet_compile": "f"}
        command = ["bash", "-euo", "pipefail", "-c", script]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert not check or result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        return result


def take_labels_away(raw: Path) -> None:
    """The last few training cases become scans without labels."""
    description = json.loads((raw / "dataset.json").read_text())
    ending = description["file_ending"]
    (raw / "imagesUn").mkdir()
    for label in sorted((raw / "labelsTr").iterdir())[TRAINING_CASES:]:
        for path in (raw / "imagesTr").glob(f"{label.name.removesuffix(ending)}_????{ending}"):
            path.rename(raw / "imagesUn" / path.name)
        label.unlink()
    (raw / "dataset.json").write_text(json.dumps(description | {"numTraining": TRAINING_CASES}))


def copy_some_cases(source: Path, target: Path) -> None:
    """The first few cases of a raw data set; the source is only read."""
    description = json.loads((source / "dataset.json").read_text())
    ending = description["file_ending"]
    for subset, count in (("Tr", TRAINING_CASES + UNLABELLED_SCANS), ("Ts", TEST_CASES)):
        for folder in (f"images{subset}", f"labels{subset}"):
            (target / folder).mkdir(parents=True)
        for label in sorted((source / f"labels{subset}").glob(f"*{ending}"))[:count]:
            case = label.name.removesuffix(ending)
            for path in [label, *(source / f"images{subset}").glob(f"{case}_????{ending}")]:
                shutil.copyfile(path, target / path.parent.name / path.name)
    (target / "dataset.json").write_text(json.dumps(description | {"numTraining": TRAINING_CASES}))


def on_the_cpu(command: str) -> str:
    """The command with ``-device cpu`` appended where it takes a device, and one worker of each kind where it takes more."""
    if command.startswith("nnUNetv2_predict "):
        return f"{command} -device cpu -npp 1 -nps 1"
    takes_device = command.startswith(("nnUNetv2_train ", "nnUNetv2_lwi train "))
    return f"{command} -device cpu" if takes_device else command
