from __future__ import annotations

import pytest
import torch

from benchmarks.datasets import PhantomDataset
from tests.tiny_dataset import CASES, NAME, SHAPE, TinyDataset

CPU = torch.device("cpu")


@pytest.fixture
def phantom(dataset: TinyDataset) -> PhantomDataset:
    """The tiny data set as one that the benchmarks prepared earlier."""
    (dataset.preprocessed / NAME / "complete").touch()
    number, name = NAME.removeprefix("Dataset").split("_")
    return PhantomDataset(int(number), name, SHAPE, CASES)
