"""nnU-Net's gradient scaler in both trainers, on the CPU: clipping, resuming, and steps that overflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training import resumable
from nnunetv2_lwi.training.machine.distributed import mean_over_steps
from nnunetv2_lwi.training.machine.overflow import with_finite_losses
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg

TRAINERS = pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])
SCALE = 2.0**16
"""A power of two, as the scaler's: scaled and unscaled again, a gradient is what it was, to the last bit."""
CLIPPED = {"epochs": 2, "lr": 1e-2, "gradient_clip": 1e-3}


def make_trainer(dataset, cls, scaled: bool, **settings):
    trainer = dataset.trainer(cls, init=dict(CLIPPED), seg=CLIPPED | {"start": "random"}, **settings)
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=SCALE) if scaled else None
    return trainer


def weights_after_a_step(trainer) -> torch.Tensor:
    trainer.on_train_start()
    before = torch.cat([parameter.detach().flatten().clone() for parameter in trainer.network.parameters()])
    trainer.train_step(next(trainer.dataloader_train))
    after = torch.cat([parameter.detach().flatten() for parameter in trainer.network.parameters()])
    trainer._end_workers()
    trainer.writer.release()
    assert not torch.equal(before, after)
    return after


@TRAINERS
def test_gradients_are_clipped_as_they_are_and_not_as_they_are_scaled(dataset, cls):
    """Clipped while 65,536 times too large, they would be next to nothing."""
    plain, scaled = (weights_after_a_step(make_trainer(dataset, cls, scaled)) for scaled in (False, True))
    assert torch.equal(plain, scaled)


@TRAINERS
def test_a_resumed_training_goes_on_with_the_scale_that_it_had(dataset, monkeypatch, cls):
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    trainer = make_trainer(dataset, cls, True)
    trainer.on_train_start()
    trainer.train_step(next(trainer.dataloader_train))
    trainer.grad_scaler.update(new_scale=512.0)
    trainer.train_step(next(trainer.dataloader_train))
    path = str(Path(trainer.output_folder) / "checkpoint_latest.pth")
    trainer.save_checkpoint(path)
    expected = trainer.grad_scaler.state_dict()
    trainer._end_workers()
    trainer.writer.release()
    resumed = make_trainer(dataset, cls, True)
    resumed.load_checkpoint(path)
    assert resumed.grad_scaler.state_dict() == expected and expected["scale"] == 512 and expected["_growth_tracker"] > 0


def overflowing(loss, numbers):
    """A loss that is infinite at some of its calls."""
    calls = iter(range(10**6))

    class Overflowing(torch.nn.Module):
        def forward(self, *args):
            value = loss(*args)
            factor = torch.inf if next(calls) in numbers else 1.0
            if isinstance(value, dict):
                return {name: entry * factor for name, entry in value.items()}
            return value * factor

    return Overflowing()


def train_with(trainer, numbers):
    trainer.initialize()
    trainer.loss = overflowing(trainer.loss, numbers)
    trainer.run_training()
    return trainer


@TRAINERS
def test_a_step_that_overflows_is_skipped_and_told(dataset, cls):
    trainer = make_trainer(dataset, cls, True)
    train_with(trainer, {0})
    assert trainer.current_epoch == 2
    assert all(parameter.isfinite().all() for parameter in trainer.network.parameters())
    log = Path(trainer.log_file).read_text()
    assert "WARNING: 1 training losses of this epoch were not finite in mixed precision and were left out (gradient" in log
    assert np.isfinite(trainer.logger.get_value("train_losses", None)).all()


@TRAINERS
def test_a_training_without_any_finite_step_ends(dataset, cls):
    with pytest.raises(UserError, match="The train loss became nan in epoch 0"):
        train_with(make_trainer(dataset, cls, True), range(10**6))


@TRAINERS
def test_without_a_scaler_one_broken_loss_ends_it(dataset, cls):
    """Its step was taken: the weights are broken."""
    with pytest.raises(UserError, match=r"The train loss became (nan|inf) in epoch 0"):
        train_with(make_trainer(dataset, cls, False), {0})


def test_means_are_of_the_steps_that_are_finite():
    steps = [{"loss": torch.tensor(loss), "part": torch.tensor(part)} for loss, part in [(1, 2), (torch.inf, 9), (3, 4)]]
    assert mean_over_steps(steps, only_finite=True) == ({"loss": 2.0, "part": 3.0}, 1)
    means, left_out = mean_over_steps(steps[1:2], only_finite=True)
    assert np.isnan(means["loss"]) and left_out == 1
    assert mean_over_steps(steps) == ({"loss": np.inf, "part": 5.0}, 0)


def test_validation_losses_that_are_not_finite_give_way_to_the_others():
    outputs = [{"loss": np.array(loss), "tp_hard": number} for number, loss in enumerate([1.0, np.nan, 3.0])]
    mended, number = with_finite_losses(outputs)
    assert [float(output["loss"]) for output in mended] == [1, 2, 3] and number == 1
    assert [output["tp_hard"] for output in mended] == [0, 1, 2]
    assert with_finite_losses(outputs[1:2]) == (outputs[1:2], 0)
