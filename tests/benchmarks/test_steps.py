from __future__ import annotations

import pytest
import torch

from benchmarks.memory import compare_memory_on, peak_of_allocations
from benchmarks.plans import make_plan, own_plan
from benchmarks.steps import compare_steps_on, make_step
from benchmarks.trainers import make_batch, make_trainer, trainers_for
from tests.benchmarks.conftest import CPU

PATCHES = {"primus_small": [16, 16, 16], "unetr_pp_small": [32, 32, 32]}


def test_both_steps_over_nnunets_own(phantom):
    comparisons = compare_steps_on(own_plan(phantom), CPU)
    assert [(c.candidate, c.baseline, c.goal) for c in comparisons] == [
        ("LWIInit", "nnUNetTrainer", 1.0),
        ("LWISeg", "nnUNetTrainer", None),
    ]
    assert {c.name for c in comparisons} == {"iteration, PlainConvUNet, 2 x 8x16x16"}
    assert comparisons[0].baseline_value == comparisons[1].baseline_value


@pytest.mark.parametrize(
    ("preset", "stock"), [("primus_small", "nnUNetTrainerNoDeepSupervision"), ("unetr_pp_small", "nnUNetTrainer")]
)
def test_nnunets_trainer_trains_the_same_network(phantom, preset, stock):
    """Without deep supervision, by a name that says so, where the network has one output."""
    plan = make_plan(preset, phantom, {"patch_size": PATCHES[preset], "batch_size": 1})
    trainers = trainers_for(plan)
    assert list(trainers) == [stock, "LWIInit", "LWISeg"]
    trained = make_trainer(trainers[stock], plan, CPU)
    ours = make_trainer(trainers["LWISeg"], plan, CPU)
    assert list(trained.network.state_dict()) == list(ours.network.state_dict())
    losses = [trainer.train_step(make_batch(trainer))["loss"] for trainer in (trained, ours)]
    assert all(torch.isfinite(torch.as_tensor(loss)) for loss in losses)


def test_a_step_trains(phantom):
    plan = own_plan(phantom)
    for cls in trainers_for(plan).values():
        assert set(make_step(cls, plan, CPU)()) >= {"loss"}


def test_neither_step_takes_more_memory_than_nnunets_trainer(phantom):
    step1, step2 = compare_memory_on(own_plan(phantom), CPU)
    assert (step1.name, step1.unit, step1.goal) == ("peak memory, PlainConvUNet, 2 x 8x16x16", "MiB", 1.0)
    assert step1.ratio.median <= 1.0
    assert step2.ratio.median <= 1.0


def test_the_peak_is_of_what_is_held_at_the_same_time():
    with torch.profiler.profile(profile_memory=True) as profiled:
        for _ in range(3):
            first = torch.ones(1000)
            second = torch.ones(500)
            del first, second
    assert peak_of_allocations(profiled) == pytest.approx(4 * 1500, abs=256)
