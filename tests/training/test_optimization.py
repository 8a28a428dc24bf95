"""Optimiser and schedule against nnU-Net's and torch's own."""

from __future__ import annotations

import pytest
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

from nnunetv2_lwi.settings import TrainingSettings
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from nnunetv2_lwi.training.optimization import EpochSchedule, build_optimizer, rate_factor
from tests.pretended_cuda import CUDA, PretendedCuda


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


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_on_cuda_the_fused_optimizer_is_taken_elsewhere_nnunets(name):
    settings = TrainingSettings(optimizer=name)
    assert not build_optimizer(parameters(), settings).param_groups[0]["fused"]
    with PretendedCuda():
        there = [torch.nn.Parameter(torch.empty(2, device=CUDA))]
        optimizer = build_optimizer(there, settings)
        assert optimizer.param_groups[0]["fused"] and optimizer._step_supports_amp_scaling


@pytest.mark.parametrize("overflow", [False, True])
@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_the_fused_optimizer_does_with_a_scaler_what_the_other_does(dataset, name, overflow):
    """With the scaler that mixed precision has on CUDA, here on the CPU: steps, and leaves a step out on overflow."""
    after = []
    for fused in (False, True):
        trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"start": "random", "optimizer": name, "lr": 1e-2})
        trainer.initialize()
        before = trainer.network.encoder.stages[0][0].convs[0].conv.weight.detach().clone()
        for group in trainer.optimizer.param_groups:
            group["fused"] = fused
        trainer.optimizer._step_supports_amp_scaling = fused
        trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        for _ in range(3):
            image = torch.randn(2, 1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
            loss = trainer.network(image)[0].square().mean() * (float("inf") if overflow else 1.0)
            trainer.optimizer.zero_grad(set_to_none=True)
            trainer.optimize(loss)
        after.append(trainer.network.encoder.stages[0][0].convs[0].conv.weight.detach())
        assert torch.equal(after[-1], before) == overflow
        assert trainer.grad_scaler.get_scale() == (1.0 if overflow else 8.0)
    torch.testing.assert_close(after[0], after[1])
