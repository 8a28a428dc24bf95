"""Fixtures: folders for each mistake, with checkpoints that were trained once."""

from __future__ import annotations

import shutil
from copy import deepcopy
from pathlib import Path

import pytest
from batchgenerators.utilities.file_and_folder_operations import save_json

from tests.bad_input.table import Init, Seg, World
from tests.tiny_dataset import CASES, NAME, TinyDataset, write_tiny_dataset


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TinyDataset]:
    """A data set with its split, and ``nnUNetTrainerLWIInit.pth`` and ``nnUNetTrainerLWISeg.pth`` trained on it."""
    root = tmp_path_factory.mktemp("bad_input")
    dataset = write_tiny_dataset(root)
    cases = [f"case_{number}" for number in range(CASES)]
    splits = [{"train": [case for case in cases if case != left], "val": [left]} for left in cases]
    save_json(splits, str(dataset.preprocessed / NAME / "splits_final.json"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        point_at(dataset, monkeypatch)
        for cls in (Init, Seg):
            dataset.trainer(cls).run_training()
            final = dataset.output_folder(cls.__name__) / "checkpoint_final.pth"
            shutil.copy(final, root / f"{cls.__name__}.pth")
    shutil.rmtree(dataset.results)
    dataset.results.mkdir()
    return root, dataset


def point_at(dataset: TinyDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net's environment; no workers."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    monkeypatch.setenv("nnUNet_preprocessed", str(dataset.preprocessed))
    monkeypatch.setenv("nnUNet_results", str(dataset.results))


@pytest.fixture
def world(template: tuple[Path, TinyDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy to make a mistake in."""
    original, dataset = template
    root = tmp_path / "world"
    shutil.copytree(original, root)
    copy = TinyDataset(
        root / dataset.preprocessed.relative_to(original),
        root / dataset.results.relative_to(original),
        deepcopy(dataset.plans),
        deepcopy(dataset.dataset_json),
    )
    point_at(copy, monkeypatch)
    return World(root, copy, root, monkeypatch)
