"""A finished run of both steps on the tiny data set, with labels that are no names for a page, made once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_lwi.cli import report
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import TinyDataset, write_tiny_dataset

NAMES = ("<script>alert(1)</script>", 'two "$x$" & co')
DICE = {"case_3": (0.9, 0.5), "case_4": (0.7, float("nan"))}
"""By validation case and label."""


def run_report(*words: Any) -> None:
    """``nnUNetv2_lwi report`` with these words."""
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    report.run(parser.parse_args([str(word) for word in words]))


def with_names(dataset: TinyDataset) -> TinyDataset:
    """Labels that are no names for a page, here and in dataset.json."""
    dataset.dataset_json["labels"] = {"background": 0, NAMES[0]: 1, NAMES[1]: 2}
    save_json(dataset.dataset_json, str(dataset.folder / "dataset.json"), sort_keys=False)
    return dataset


def write_dice(fold_folder: Path) -> None:
    """A summary.json as nnU-Net's validation writes it."""
    cases = [
        {"metrics": {str(n + 1): {"Dice": dice} for n, dice in enumerate(values)}, "prediction_file": f"/x/{case}.nii.gz"}
        for case, values in DICE.items()
    ]
    mean = {"1": {"Dice": 0.8}, "2": {"Dice": 0.5}}
    summary = {"foreground_mean": {"Dice": 0.65}, "mean": mean, "metric_per_case": cases}
    (fold_folder / "validation").mkdir(exist_ok=True)
    save_json(summary, str(fold_folder / "validation" / "summary.json"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TinyDataset:
    """Finished, with step 1's own validation and a made-up one of step 2."""
    dataset = with_names(write_tiny_dataset(tmp_path_factory.mktemp("report")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_n_proc_DA", "0")
        patch.setenv("nnUNet_preprocessed", str(dataset.preprocessed))
        patch.setenv("nnUNet_results", str(dataset.results))
        dataset.write_plans(order_weight=0.5)
        step1 = dataset.trainer(nnUNetTrainerLWIInit)
        step1.run_training()
        step1.perform_actual_validation()
        dataset.trainer(nnUNetTrainerLWISeg).run_training()
        write_dice(dataset.output_folder("nnUNetTrainerLWISeg"))
    return dataset


@pytest.fixture
def finished(trained: TinyDataset, monkeypatch: pytest.MonkeyPatch) -> TinyDataset:
    """The same, with nnU-Net's folders pointing at it."""
    monkeypatch.setenv("nnUNet_preprocessed", str(trained.preprocessed))
    monkeypatch.setenv("nnUNet_results", str(trained.results))
    return trained


@pytest.fixture(scope="session")
def page_file(trained: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page, made once."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_preprocessed", str(trained.preprocessed))
        patch.setenv("nnUNet_results", str(trained.results))
        run_report("-d", "999", "-o", path)
    return path


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """Calls the command, which must end with one line and write nothing; returns the line."""
    from nnunetv2_lwi.errors import UserError

    def call(*words: Any) -> str:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(UserError) as refusal:
            run_report(*words)
        assert sorted(tmp_path.rglob("*")) == before
        assert "\n" not in refusal.value.message
        return refusal.value.reason

    return call
