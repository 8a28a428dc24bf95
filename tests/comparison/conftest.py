"""A small comparison on the tiny data set, and made-up results for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_lwi.comparison.arms import parse_arms
from nnunetv2_lwi.comparison.design import Design, Run, trainings_of
from nnunetv2_lwi.comparison.source import Source
from nnunetv2_lwi.comparison.workplace import Workplace
from tests.tiny_dataset import NAME, TinyDataset

EPOCHS = 25


@pytest.fixture
def source(dataset: TinyDataset) -> Source:
    """The tiny data set, without raw images."""
    return Source(dataset.preprocessed / NAME, None, dataset.plans, dataset.dataset_json)


@pytest.fixture
def make_design(source: Source) -> Callable[..., Design]:
    """A design with a few options set; four training cases, one validation case."""

    def make(arms: str = "random,lwi,lwi_all", counts: tuple[int, ...] = (2, 4), seeds: int = 2, **options) -> Design:
        configuration = deepcopy(source.plans["configurations"]["3d_fullres"])
        configuration["lwi"]["seg"]["epochs"] = EPOCHS
        pool, val_cases = source.split(configuration, 0)
        fingerprint = source.fingerprint("3d_fullres", configuration)
        chosen = parse_arms(arms.split(","))
        return Design(configuration, pool, val_cases, fingerprint, chosen, [*counts], [*range(seeds)], **options)

    return make


@pytest.fixture
def make_places(source: Source, tmp_path: Path) -> Callable[[list[Run]], list[Workplace]]:
    """The folders of the runs' trainings."""

    def make(runs: list[Run]) -> list[Workplace]:
        root = tmp_path / "comparison"
        return [Workplace(root, training, "3d_fullres", source) for training in trainings_of(runs)]

    return make


def write_result(place: Workplace, dice: float, cases: int = 6) -> None:
    """As :func:`nnunetv2_lwi.comparison.execution.execute` writes it: Dice scatters, class two is missing once."""
    random = np.random.default_rng(int(place.training.key, 16) % 2**32)
    result = {"iterations": place.training.iterations, "seconds": 12.34, "pseudo_dice": []}
    result |= {"origins": [{"device": "a GPU", "versions": {"nnunetv2": "2.8.1"}}]}
    if place.training.is_step1:
        result["probe"] = {"encoder 0": {"step 1": dice, "random": 0.5}, "decoder 1": {"step 1": 0.75, "random": 0.25}}
    else:
        epochs = place.training.settings.seg.epochs
        result["pseudo_dice"] = [dice * (epoch + 1) / epochs for epoch in range(epochs)]
        values = dice + 0.01 * random.standard_normal((cases, 2))
        by_case = {
            f"case_{i}": {"one": {"Dice": one, "HD95": 2.0}, "two": {"Dice": None if i == 0 else two, "HD95": None}}
            for i, (one, two) in enumerate(values.tolist())
        }
        result["scores"] = {"validation": {"mirrored": by_case}}
    place.folder.mkdir(parents=True, exist_ok=True)
    partial = place.result.with_suffix(".partial")
    partial.write_text(json.dumps(result))
    partial.replace(place.result)
