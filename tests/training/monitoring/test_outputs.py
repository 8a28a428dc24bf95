"""Every output of step 2 by itself: counted as nnU-Net counts, and told when the last stage is stuck."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nnunetv2_lwi.training.monitoring import outputs as watched
from nnunetv2_lwi.training.monitoring.outputs import count_hits, describe_outputs, mean_dice, outputs_of
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg

RANDOM = {"epochs": 2, "start": "random"}


@pytest.mark.parametrize(
    "kind", [{}, {"regions": True}, {"ignore_label": True}, {"ignore_label": True, "regions": True}], ids=str
)
def test_hits_are_counted_as_nnunet_counts_those_at_full_resolution(make_dataset, kind):
    trainer = make_dataset(**kind).trainer(nnUNetTrainerLWISeg, seg=RANDOM)
    trainer.on_train_start()
    batch = next(trainer.dataloader_val)
    target = batch["target"][0].clone()
    trainer.network.eval()
    with torch.no_grad():
        logits = trainer.network(batch["data"])[0]
        figures = trainer.validation_step(batch)
    found = count_hits(logits, target, trainer.label_manager)
    for row, name in zip(found, ("tp_hard", "fp_hard", "fn_hard"), strict=True):
        assert row == pytest.approx(figures[name])
    assert found.sum() > 0 and figures["hits_by_output"].shape == (2, *found.shape)


def test_the_log_has_every_output_in_the_first_epochs_only(dataset, monkeypatch):
    monkeypatch.setattr("nnunetv2_lwi.training.nnUNetTrainerLWISeg.EPOCHS_WATCHED", 1)
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=RANDOM)
    trainer.run_training()
    log = Path(trainer.log_file).read_text()
    assert log.count("Dice by output, full resolution first: ") == 1
    assert not trainer.network._forward_hooks


def test_outputs_are_noted_without_a_second_run():
    layer = nn.Linear(1, 1)
    calls = []
    layer.register_forward_hook(lambda *_: calls.append(1))
    with outputs_of(layer) as outputs:
        layer(torch.zeros(1, 1))
    assert len(outputs) == len(calls) == 1
    layer(torch.zeros(2, 1))
    assert len(outputs[0]) == 1


def test_a_class_that_is_nowhere_does_not_count():
    assert mean_dice(np.array([[2.0, 0, 0], [1, 0, 4], [1, 0, 0]])) == pytest.approx((2 * 2 / 6 + 0) / 2)
    assert np.isnan(mean_dice(np.zeros((3, 2))))


@pytest.mark.parametrize(
    ("dice", "stuck"),
    [([0.0, 0.53, 0.66], True), ([0.05, 0.1, 0.3], True), ([0.06, 0.5], False), ([0.0, 0.29], False), ([0.0], False)],
)
def test_a_last_stage_that_is_stuck_is_told(dice, stuck):
    first, *more = describe_outputs(dice)
    assert first == "Dice by output, full resolution first: " + ", ".join(f"{value:.2f}" for value in dice)
    assert bool(more) == stuck
    if stuck:
        assert more[0].startswith("WARNING: the last decoder stage is stuck") and f"({dice[0]:.2f})" in more[0]


def test_dice_that_is_not_defined_is_no_reason_to_warn():
    assert len(list(describe_outputs([float("nan"), 0.6]))) == 1
    assert watched.LEARNS > watched.FLAT
