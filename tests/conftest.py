"""Fixtures: nnU-Net's folders, and a tiny preprocessed data set in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from tests.tiny_dataset import TinyDataset, write_tiny_dataset

pytest_plugins = ["tests.bad_input.world"]


DRAW = Figure.savefig


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Figures are made and their files written, but empty: drawing is two thirds of a short training's time."""
    Figure.savefig = write_empty if item.get_closest_marker("draws") is None else DRAW  # type: ignore[method-assign]


def write_empty(figure: Figure, file: Any, **options: Any) -> None:
    """In the place of :meth:`Figure.savefig`, for an open file or a path."""
    if not hasattr(file, "write"):
        Path(file).write_bytes(b"")


@pytest.fixture
def make_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TinyDataset]:
    """Writes a tiny data set into folders of its own and points nnU-Net at them."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")

    def make(name: str = "a", **options: Any) -> TinyDataset:
        dataset = write_tiny_dataset(tmp_path / name, **options)
        monkeypatch.setenv("nnUNet_preprocessed", str(dataset.preprocessed))
        monkeypatch.setenv("nnUNet_results", str(dataset.results))
        return dataset

    return make


@pytest.fixture
def dataset(make_dataset: Callable[..., TinyDataset]) -> TinyDataset:
    """One channel, two labels."""
    return make_dataset()
