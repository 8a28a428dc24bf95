"""The trainings that killed ones are compared with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_lwi.handover.checkpoint import read_checkpoint
from tests.faults.killable import STEP1, Ended, Job, Training, folder_of
from tests.tiny_dataset import TinyDataset, short_settings, write_tiny_dataset

REPEATABLE = {"epochs": 6, "iterations": 2, "seed": 3}
WITH_WORKERS = {"epochs": 12, "iterations": 4, "seed": None}


@dataclass
class Trainings:
    """A data set, and trainings on it, each in a results folder of its own."""

    dataset: TinyDataset
    epochs: int
    workers: int
    _whole: dict[tuple[str, int], Job] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=dict)
    _number: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def job(self, trainer: str) -> Job:
        """A training in a new results folder, where step 2 finds a finished step 1."""
        results = self.dataset.results / f"{next(self._number):04d}"
        job = Job(trainer, self.dataset.preprocessed, results, results / "output.txt", workers=self.workers)
        folder_of(job).mkdir(parents=True)
        if trainer != STEP1:
            step1 = self.uninterrupted(STEP1)
            target = folder_of(replace(step1, results=results))
            target.mkdir(parents=True)
            shutil.copy(folder_of(step1) / "checkpoint_final.pth", target)
        return job

    def uninterrupted(self, trainer: str, number: int = 0) -> Job:
        """A training that nobody killed; another number, another training."""
        if (trainer, number) not in self._whole:
            job = self.job(trainer)
            begun = monotonic()
            ended = Training(job).wait()
            self._seconds[trainer] = monotonic() - begun
            require_success(ended)
            self._whole[trainer, number] = job
        return self._whole[trainer, number]

    def seconds(self, trainer: str) -> float:
        """How long the last uninterrupted training took."""
        self.uninterrupted(trainer)
        return self._seconds[trainer]


def make_trainings(root: Path, workers: int) -> Trainings:
    """Write the data set: seeded and in one process, where a training can be repeated; else unseeded and longer."""
    settings = WITH_WORKERS if workers else REPEATABLE
    dataset = write_tiny_dataset(root, scans=2)
    block = short_settings() | {"iterations_per_epoch": settings["iterations"], "seed": settings["seed"]}
    for step in ("init", "seg"):
        block[step]["epochs"] = settings["epochs"]
    dataset.plans["configurations"]["3d_fullres"]["lwi"] = block
    save_json(dataset.plans, str(dataset.preprocessed / dataset.plans["dataset_name"] / "nnUNetPlans.json"), sort_keys=False)
    return Trainings(dataset, int(settings["epochs"] or 0), workers)


def require_success(ended: Ended) -> None:
    """Show what the process printed where it failed."""
    assert ended.exit_code == 0, ended.output


def final_checkpoint(job: Job) -> dict[str, Any]:
    """Of a finished training."""
    return read_checkpoint(folder_of(job) / "checkpoint_final.pth")
