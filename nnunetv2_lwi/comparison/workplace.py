"""A training's own nnU-Net folders: data linked, plans and split written, results beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_lwi.comparison.design import Training
from nnunetv2_lwi.comparison.source import Source
from nnunetv2_lwi.disk import link, write_json
from nnunetv2_lwi.names import STEP1_TRAINER
from nnunetv2_lwi.unlabelled.folder import UnlabelledFolder

LINKED = ("dataset_fingerprint.json", "gt_segmentations")
FOLD = 0
"""The only one in a training's own splits_final.json."""


@dataclass(frozen=True)
class Workplace:
    """The folder of one training within a comparison's."""

    root: Path
    training: Training
    configuration_name: str
    source: Source
    predicts_mirrored: bool = True
    """Whether test cases are also predicted with mirroring, which takes eight times as long."""

    @property
    def folder(self) -> Path:
        """Named after the training's digest, so that an equal training is found again."""
        return self._folder_of(self.training)

    @property
    def environment(self) -> dict[str, str]:
        """nnU-Net's two folders that are this training's own; the raw data stay the user's.

        Networks are compiled on request: it takes minutes for each of many trainings, which are mostly short.
        """
        folders = {name: str(self.folder / name) for name in ("nnUNet_preprocessed", "nnUNet_results")}
        return folders | {"nnUNet_compile": os.environ.get("nnUNet_compile", "f")}

    @property
    def dataset(self) -> Path:
        """Plans, split and links to the data."""
        return self.folder / "nnUNet_preprocessed" / self.source.name

    @property
    def plans_name(self) -> str:
        """The user's."""
        return str(self.source.plans["plans_name"])

    @property
    def fold_folder(self) -> Path:
        """What nnU-Net writes for this training."""
        return self._model(self.training) / f"fold_{FOLD}"

    @property
    def log(self) -> Path:
        """Everything that nnU-Net's commands print."""
        return self.folder / "output.log"

    @property
    def lock(self) -> Path:
        """Held while the training runs."""
        return self.folder / "lock"

    @property
    def origins(self) -> Path:
        """On which devices and with which versions it was started."""
        return self.folder / "origins.json"

    @property
    def result(self) -> Path:
        """What was measured; it is there when everything is done."""
        return self.folder / "result.json"

    def plans(self) -> dict[str, Any]:
        """The user's plans with the training's configuration in the place of theirs."""
        return {**self.source.plans, "configurations": {self.configuration_name: self.training.configuration}}

    def prepare(self) -> None:
        """Make the folders; what is there already, of an earlier try, is the same and is written again."""
        self.dataset.mkdir(parents=True, exist_ok=True)
        (self.folder / "nnUNet_results").mkdir(exist_ok=True)
        for name in (*LINKED, self.training.configuration["data_identifier"]):
            if (self.source.preprocessed / name).exists():
                link(self.dataset / name, self.source.preprocessed / name)
        if self.training.scans:
            scans = UnlabelledFolder.beside(self.source.preprocessed, self.training.configuration["data_identifier"])
            for path in (scans.path, scans.journal_file):
                link(self.dataset / path.name, path)
        split = [{"train": self.training.train_cases, "val": self.training.val_cases}]
        write_json(self.dataset / "splits_final.json", split)
        write_json(self.dataset / "dataset.json", self.source.dataset_json)
        write_json(self.dataset / f"{self.plans_name}.json", self.plans())
        if self.training.after is not None:
            model = self._model(self.training.after)
            ours = self.folder / "nnUNet_results" / self.source.name / model.name
            ours.parent.mkdir(exist_ok=True)
            link(ours, Path(os.path.relpath(model, ours.parent)))

    def _folder_of(self, training: Training) -> Path:
        step = "step1" if training.trainer == STEP1_TRAINER else "step2"
        return self.root / "trainings" / f"{step}_{training.key}"

    def _model(self, training: Training) -> Path:
        model = f"{training.trainer}__{self.plans_name}__{self.configuration_name}"
        return self._folder_of(training) / "nnUNet_results" / self.source.name / model
