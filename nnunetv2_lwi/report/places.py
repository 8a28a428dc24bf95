"""What the page is of: the folders of a fold's two steps, or that of a comparison; and where the page goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.jobs.status import MODEL
from nnunetv2_lwi.names import STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.nnunet.folders import folder_if_set, folder_of
from nnunetv2_lwi.nnunet.target import Target

FILE = "report.html"
ENDINGS = (".html", ".htm")
FOLD = "fold_"
ANOTHER = "name such a fold's folder, the folder of a comparison (nnUNetv2_lwi compare -o), or a run by -d -c -p -f"


@dataclass(frozen=True)
class RunPlace:
    """A fold of a data set, plans and configuration, below a folder of results."""

    results: Path
    dataset: str
    plans: str
    configuration: str
    fold: str

    def __str__(self) -> str:
        return f"{self.dataset}, plans {self.plans}, configuration {self.configuration}, fold {self.fold}"

    def folder(self, trainer: str) -> Path:
        """Where a trainer writes."""
        return self.results / self.dataset / f"{trainer}__{self.plans}__{self.configuration}" / f"{FOLD}{self.fold}"

    @property
    def folders(self) -> dict[str, Path]:
        """Those that are there, by trainer, step 1 first."""
        folders = {trainer: self.folder(trainer) for trainer in (STEP1_TRAINER, STEP2_TRAINER)}
        return {trainer: folder for trainer, folder in folders.items() if folder.is_dir()}

    @property
    def own_folder(self) -> Path:
        """Of the last step that was begun."""
        return list(self.folders.values())[-1]

    @property
    def preprocessed(self) -> Path | None:
        """The folder of preprocessed data sets that has this one's plans, if it is known."""
        folder = folder_if_set("nnUNet_preprocessed")
        return folder if folder is not None and (folder / self.dataset / f"{self.plans}.json").is_file() else None


def place_of_target(target: Target) -> RunPlace:
    """Where a training writes.

    Raises:
        UserError: neither step was begun.
    """
    names = (target.dataset_name, target.plans_name, target.configuration, str(target.fold))
    place = RunPlace(folder_of("nnUNet_results"), *names)
    if not place.folders:
        raise UserError(
            f"Nothing was begun of {place}: train it (nnUNetv2_lwi train {target.dataset_name} {target.configuration} "
            f"{target.fold} -p {target.plans_name}), or name another run; nnUNetv2_lwi status tells which there are."
        )
    return place


def is_comparison(folder: Path) -> bool:
    """Whether ``nnUNetv2_lwi compare`` writes there."""
    return (folder / "trainings").is_dir()


def place_of_folder(folder: Path) -> RunPlace:
    """What run a folder of nnU-Net's results is of: a fold's, or a model's with a single fold.

    Raises:
        UserError: it is neither, or of another trainer.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: {ANOTHER}.")
    folder = folder.absolute()
    if MODEL.fullmatch(folder.name):
        folder = _only_fold(folder)
    match = MODEL.fullmatch(folder.parent.name)
    if match is None or not folder.name.startswith(FOLD):
        raise UserError(f"{folder} is no output folder of {STEP1_TRAINER} or {STEP2_TRAINER}: {ANOTHER}.")
    dataset = folder.parents[1]
    return RunPlace(dataset.parent, dataset.name, match[2], match[3], folder.name.removeprefix(FOLD))


def _only_fold(model: Path) -> Path:
    folds = sorted(path for path in model.iterdir() if path.is_dir() and re.fullmatch(rf"{FOLD}(\d+|all)", path.name))
    if len(folds) != 1:
        names = ", ".join(path.name for path in folds) or "none"
        raise UserError(f"{model} should hold one fold to report on, but has: {names}. Name the folder of one.")
    return folds[0]
