"""Both steps of a tiny data set, finished; copies of their results to export from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_lwi.cli import export
from nnunetv2_lwi.cli.main import SUBCOMMANDS, main
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.bad_input.world import point_at
from tests.tiny_dataset import TinyDataset, write_tiny_dataset

Export = Callable[..., None]
SUMMARY = {
    "foreground_mean": {"Dice": 0.5},
    "mean": {"1": {"Dice": 0.4}, "2": {"Dice": 0.6}},
    "metric_per_case": [
        {
            "metrics": {"1": {"Dice": 0.4}, "2": {"Dice": 0.6}},
            "prediction_file": "/home/somebody/validation/Surname_Name.nii.gz",
            "reference_file": "/home/somebody/labels/Surname_Name.nii.gz",
        }
    ],
}
"""As nnU-Net's final validation writes it."""


def add_validation(folder: Path) -> None:
    """What nnU-Net's run script writes after a training."""
    (folder / "validation").mkdir()
    (folder / "validation" / "summary.json").write_text(json.dumps(SUMMARY))


def shorten(dataset: TinyDataset) -> None:
    """One epoch of one iteration."""
    dataset.write_plans(init={"epochs": 1}, seg={"epochs": 1}, iterations_per_epoch=1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TinyDataset:
    """Step 1 of fold 0; step 2 of folds 0 and 1."""
    dataset = write_tiny_dataset(tmp_path_factory.mktemp("export"))
    shorten(dataset)
    with pytest.MonkeyPatch.context() as monkeypatch:
        point_at(dataset, monkeypatch)
        dataset.trainer(nnUNetTrainerLWIInit).run_training()
        dataset.trainer(nnUNetTrainerLWISeg).run_training()
        dataset.trainer(nnUNetTrainerLWISeg, fold=1, seg={"epochs": 1, "start": "random"}).run_training()
    for fold in (0, 1):
        add_validation(dataset.output_folder("nnUNetTrainerLWISeg", fold))
    return dataset


@pytest.fixture
def finished(trained: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyDataset]:
    """The same, for this test alone; without the preprocessed data."""
    results = tmp_path / "results"
    shutil.copytree(trained.results, results)
    copy = TinyDataset(tmp_path / "nowhere", results, trained.plans, trained.dataset_json)
    point_at(copy, monkeypatch)
    return copy


@pytest.fixture
def run_export(monkeypatch: pytest.MonkeyPatch) -> Export:
    """``nnUNetv2_lwi export -d 999 ...``."""
    monkeypatch.setitem(SUBCOMMANDS, "export", export.__doc__)

    def run(*words: Any) -> None:
        main(["export", "-d", "999", *map(str, words)])

    return run
