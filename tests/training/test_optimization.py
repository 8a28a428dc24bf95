"""Optimiser and schedule against nnU-Net's and torch's own."""

from __future__ import annotations

import pytest
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

from nnunetv2_lwi.planning.settings import TrainingSettings
from nnunetv2_lwi.training.optimization import EpochSchedule, build_optimizer, rate_factor


def parameters():
    return [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2), requires_grad=False)]


def rates(settings: TrainingSettings) -> list[float]:
    optimizer = build_optimizer(parameters(), settings)
    schedule = EpochSchedule(optimizer, settings)
    found = []
    for epoch in range(settings.epochs):
        schedule.step(epoch)
        found.append(optimizer.param_groups[0]["lr"])
        assert schedule.get_last_lr() == [found[-1]]
    return found


def test_poly_is_nnunets():
    optimizer = torch.optim.SGD(parameters(), 0.01)
    oracle = PolyLRScheduler(optimizer, 0.01, 20)
    expected = []
    for epoch in range(20):
        oracle.step(epoch)
        expected.append(optimizer.param_groups[0]["lr"])
    assert rates(TrainingSettings(epochs=20, lr=0.01)) == pytest.approx(expected)


def test_cosine_is_torchs():
    optimizer = torch.optim.SGD(parameters(), 0.01)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    expected = []
    for _ in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        oracle.step()
    assert rates(TrainingSettings(epochs=20, lr=0.01, schedule="cosine")) == pytest.approx(expected)


def test_warm_up_rises_to_the_full_rate_and_the_schedule_takes_the_rest():
    settings = TrainingSettings(epochs=10, lr=1.0, schedule="cosine", warmup_epochs=4)
    assert rates(settings)[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates(settings)[4:] == pytest.approx(rates(TrainingSettings(epochs=6, lr=1.0, schedule="cosine")))
    assert [rate_factor(e, TrainingSettings(epochs=4, schedule="constant")) for e in range(4)] == [1, 1, 1, 1]


def test_optimizers_are_as_set_and_leave_frozen_parameters_out():
    sgd = build_optimizer(parameters(), TrainingSettings(momentum=0.5, nesterov=False, weight_decay=0.1))
    assert isinstance(sgd, torch.optim.SGD) and len(sgd.param_groups[0]["params"]) == 1
    group = sgd.param_groups[0]
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.5, False, 0.1)
    adamw = build_optimizer(parameters(), TrainingSettings(optimizer="AdamW", betas=(0.8, 0.9), lr=1e-3))
    assert isinstance(adamw, torch.optim.AdamW) and adamw.param_groups[0]["betas"] == (0.8, 0.9)
