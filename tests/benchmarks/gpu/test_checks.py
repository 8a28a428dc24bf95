"""The checks that show something without a GPU, on a tiny data set."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu import files, steps, whole
from benchmarks.gpu.runner import Place
from benchmarks.plans import own_plan


@pytest.fixture
def place(phantom, tmp_path, monkeypatch):
    for module in (files, steps):
        monkeypatch.setattr(module, "own_plan", lambda dataset: own_plan(phantom))
    monkeypatch.setattr(steps, "small_preset_plans", lambda device: [])
    return Place("cpu", tmp_path)


def test_the_environment_is_described(place):
    (figures,) = whole.environment(place)
    assert {"processor", "versions", "usable cores", "C compiler", "commit"} <= figures.keys()


def test_both_steps_make_a_few_steps(place):
    figures = list(steps.steps_of_small_presets(place))
    assert [(one["trainer"], one["precision"]) for one in figures] == [("LWIInit", "off"), ("LWISeg", "off")]
    assert all(one["ms"] > 0 for one in figures)


def test_a_loss_that_is_not_finite_fails(place, monkeypatch):
    monkeypatch.setattr(steps.CANDIDATES["LWIInit"], "train_step", lambda self, batch: {"loss": torch.tensor(float("nan"))})
    with pytest.raises(FloatingPointError, match="LWIInit"):
        list(steps.steps_of_small_presets(place))


def test_both_ways_of_augmenting_are_timed(place):
    figures = list(steps.augmentation(place))
    assert [one["trainer"] for one in figures] == ["LWIInit", "LWISeg"]
    assert all(one["in_worker ms"] > 0 and one["gain 8 workers"] > 0 for one in figures)


def test_checkpoints_hold_everything_once_and_on_the_cpu(place, monkeypatch):
    assert len(list(files.checkpoint(place))) == 2
    monkeypatch.setattr(files, "MOST_BEYOND", -1e3)
    with pytest.raises(AssertionError, match="bytes for"):
        list(files.checkpoint(place))


def test_trainings_go_on_on_another_device(place):
    figures = list(files.other_device(place))
    assert [one["devices"] for one in figures] == ["cpu->cpu->cpu"] * 2 and all(len(one["losses"]) == 3 for one in figures)
