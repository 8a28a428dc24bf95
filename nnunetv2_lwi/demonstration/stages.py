"""The commands of the demo, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_lwi.demonstration.place import Demo
from nnunetv2_lwi.demonstration.plans import CONFIGURATION, DEMO_PLANS
from nnunetv2_lwi.names import FINAL, STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.nnunet.commands import stock_command


@dataclass(frozen=True)
class Stage:
    """One command of the demo, with what it is for."""

    name: str
    purpose: str
    command: list[str]


def stages(demo: Demo) -> Iterator[Stage]:
    """The commands in their order; a data set without test images is judged by its validation cases."""
    checkpoint = demo.fold(STEP1_TRAINER) / FINAL
    yield Stage(
        "plan",
        "nnU-Net looks at the images, plans a network and preprocesses.",
        stock_command("nnUNetv2_plan_and_preprocess", "-d", demo.dataset_id, "-c", CONFIGURATION, "-npfp", "2", "-np", "2"),
    )
    yield Stage(
        "step1",
        "Step 1 learns the starting weights from the images alone: put shuffled slabs in order, fill in what is masked.",
        train_command(demo, STEP1_TRAINER),
    )
    yield Stage(
        "step2",
        "Step 2 learns to segment from those weights and predicts the validation cases.",
        train_command(demo, STEP2_TRAINER, "-pretrained_weights", str(checkpoint)),
    )
    if not has_files(demo.raw / "imagesTs"):
        return
    yield Stage("predict", "The trained network segments the test images.", predict_command(demo))
    if has_files(demo.raw / "labelsTs"):
        yield Stage("evaluate", "nnU-Net compares that with the test labels.", evaluate_command(demo))


def has_files(folder: Path) -> bool:
    """Whether there is such a folder with something in it."""
    return folder.is_dir() and any(folder.iterdir())


def train_command(demo: Demo, trainer: str, *more: str) -> list[str]:
    """``nnUNetv2_train`` on fold 0 with the demo's plans."""
    words = [demo.dataset_id, CONFIGURATION, "0", "-tr", trainer, "-p", DEMO_PLANS]
    return stock_command("nnUNetv2_train", *words, *more, *demo.device_argument)


def predict_command(demo: Demo) -> list[str]:
    """``nnUNetv2_predict`` on the test images."""
    folders = ["-i", str(demo.raw / "imagesTs"), "-o", str(demo.predictions)]
    model = ["-d", demo.dataset_id, "-c", CONFIGURATION, "-f", "0", "-tr", STEP2_TRAINER, "-p", DEMO_PLANS]
    return stock_command("nnUNetv2_predict", *folders, *model, *demo.device_argument)


def evaluate_command(demo: Demo) -> list[str]:
    """``nnUNetv2_evaluate_folder`` on the predictions."""
    files = ["-djfile", str(demo.preprocessed / "dataset.json"), "-pfile", str(demo.preprocessed / f"{DEMO_PLANS}.json")]
    return stock_command("nnUNetv2_evaluate_folder", demo.raw / "labelsTs", demo.predictions, *files, "--chill")
