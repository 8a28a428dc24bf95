"""A finished training, found by its names in nnUNet_results alone: its data need not be there any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.names import FINAL
from nnunetv2_lwi.nnunet.folders import find_dataset, folder_of

CHECKPOINTS = (FINAL, "checkpoint_best.pth")
"""What can be given away of a finished training."""


@dataclass(frozen=True)
class FinishedTraining:
    """One trainer's model and those of its folds that are meant.

    Attributes:
        dataset_name: DatasetXXX_Name.
        folds: 0, 1, ... in order, or "all".
        checkpoint_name: one of :data:`CHECKPOINTS`.
    """

    dataset_name: str
    plans_name: str
    configuration: str
    trainer: str
    folds: tuple[int | str, ...]
    checkpoint_name: str

    def __str__(self) -> str:
        folds = "fold" if len(self.folds) == 1 else "folds"
        return (
            f"{self.trainer} of {self.dataset_name}, plans {self.plans_name}, configuration {self.configuration}, "
            f"{folds} {', '.join(map(str, self.folds))}"
        )

    @property
    def folder(self) -> Path:
        """Where nnU-Net keeps the model: the files that its folds share, and a folder for each of them."""
        return folder_of("nnUNet_results") / self.dataset_name / self.name_under(self.trainer)

    def name_under(self, trainer: str) -> str:
        """What nnU-Net calls the model's folder, were it another trainer's."""
        return f"{trainer}__{self.plans_name}__{self.configuration}"

    def fold_folder(self, fold: int | str) -> Path:
        """Where the fold was trained."""
        return self.folder / f"fold_{fold}"

    def checkpoint(self, fold: int | str) -> Path:
        """The fold's checkpoint that is meant."""
        return self.fold_folder(fold) / self.checkpoint_name


def find_finished(
    trainer: str, dataset: str, plans_name: str, configuration: str, folds: Sequence[int | str], checkpoint_name: str
) -> FinishedTraining:
    """Look for a training by the names that nnU-Net's commands take.

    Args:
        dataset: name or id.

    Raises:
        UserError: there is none, a fold of it is not finished, or it has no such checkpoint.
    """
    dataset_name = find_dataset(dataset, [folder_of("nnUNet_results")])
    in_order = tuple(sorted(set(folds), key=lambda fold: (isinstance(fold, str), fold)))
    training = FinishedTraining(dataset_name, plans_name, configuration, trainer, in_order, checkpoint_name)
    for fold in in_order:
        _require_finished(training, fold)
    return training


def _require_finished(training: FinishedTraining, fold: int | str) -> None:
    final = training.fold_folder(fold) / FINAL
    if not final.is_file():
        state = "not finished" if final.parent.is_dir() else "missing"
        raise UserError(
            f"{training.trainer} of {training.dataset_name}, plans {training.plans_name}, configuration "
            f"{training.configuration}, fold {fold} is {state} ({final}), and only a finished training is exported: train "
            "it to its end, or name another one with -d, -c, -p and -f."
        )
    if not training.checkpoint(fold).is_file():
        raise UserError(f"There is no {training.checkpoint(fold)}: leave -chk out, and {FINAL} is exported.")
