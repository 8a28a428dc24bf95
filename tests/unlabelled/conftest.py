"""Fixtures: the tiny data set with a raw folder for scans without labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.raw_scans import RawDataset, make_raw_dataset
from tests.tiny_dataset import TinyDataset


@pytest.fixture
def make_raw(
    make_dataset: Callable[..., TinyDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RawDataset]:
    """Makes one of the options' kind and points nnU-Net at it."""

    def make(**options: Any) -> RawDataset:
        raw = make_raw_dataset(make_dataset(**options), tmp_path / "raw")
        monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
        return raw

    return make


@pytest.fixture
def raw(make_raw: Callable[..., RawDataset]) -> RawDataset:
    """One channel."""
    return make_raw()
