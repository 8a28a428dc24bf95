"""Order and reconstruction losses against plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from nnunetv2_lwi.method.loss import PretextLoss, order_accuracy, order_loss
from nnunetv2_lwi.method.pretext_network import PretextOutput
from nnunetv2_lwi.method.transformation import TransformedBatch


def test_order_loss_is_averaged_over_positions_and_samples_and_summed_over_levels():
    order = torch.tensor([[2, 0, 1], [0, 1, 2]])
    logits = [torch.randn(2, 3, 3) for _ in range(2)]
    expected = 0.0
    for level in logits:
        terms = [-level[n, f].log_softmax(-1)[order[n, f]].item() for n in range(2) for f in range(3)]
        expected += sum(terms) / len(terms)
    assert order_loss(logits, order).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("slabs", [2, 5, 20])
def test_order_loss_of_guessing_is_the_logarithm_of_b_whatever_b(slabs):
    order = torch.stack([torch.randperm(slabs) for _ in range(3)])
    assert order_loss([torch.zeros(3, slabs, slabs)], order).item() == pytest.approx(math.log(slabs), rel=1e-5)


def test_accuracy_counts_positions():
    """Rows are positions, columns original slabs: of a permutation that is not its own inverse."""
    logits = torch.nn.functional.one_hot(torch.tensor([[1, 2, 0]]), 3).float()
    assert order_accuracy(logits, torch.tensor([[1, 2, 0]])).item() == 1
    assert order_accuracy(logits, torch.tensor([[1, 0, 2]])).item() == pytest.approx(1 / 3)
    output = PretextOutput([logits], None)
    batch = TransformedBatch(torch.zeros(1), torch.zeros(1), torch.tensor([[1, 0, 2]]))
    assert PretextLoss(1.0, 0.0, (7,))(output, batch)["order_accuracy_level_7"].item() == pytest.approx(1 / 3)


def test_every_head_has_the_name_of_its_level():
    output = PretextOutput([torch.zeros(1, 2, 2)] * 2, None)
    batch = TransformedBatch(torch.zeros(1), torch.zeros(1), torch.tensor([[1, 0]]))
    with pytest.raises(ValueError, match="shorter"):
        PretextLoss(1.0, 0.0, (0, 1, 2))(output, batch)


def test_reconstruction_counts_all_voxels_and_compares_with_the_shuffled_volume():
    shuffled, masked = torch.ones(1, 2, 2, 2, 2), torch.zeros(1, 2, 2, 2, 2)
    reconstruction = torch.zeros(1, 2, 2, 2, 2)
    reconstruction[0, 0, 0] = 3
    batch = TransformedBatch(masked, shuffled, torch.tensor([[0, 1]]))
    losses = PretextLoss(0.0, 2.0, ())(PretextOutput([], reconstruction), batch)
    assert losses["loss"].item() == pytest.approx(2 * (4 * 4 + 12 * 1) / 16)


def test_weights_scale_the_terms_but_not_what_is_logged():
    order = torch.tensor([[1, 0]])
    output = PretextOutput([torch.randn(1, 2, 2)], torch.randn(1, 1, 2, 2, 2))
    batch = TransformedBatch(torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2), order)
    losses = PretextLoss(0.5, 3.0, (4,))(output, batch)
    assert list(losses) == ["loss", "reconstruction_loss", "order_loss", "order_accuracy_level_4"]
    expected = 0.5 * losses["order_loss"] + 3 * losses["reconstruction_loss"]
    assert losses["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_coarse_reconstructions_count():
    shuffled = torch.ones(1, 1, 2, 2, 2)
    batch = TransformedBatch(shuffled, shuffled, torch.tensor([[0, 1]]))
    loss = PretextLoss(0.0, 1.0, ())
    assert loss(PretextOutput([], shuffled), batch)["loss"].item() == 0
    wrong = PretextOutput([], shuffled, [torch.full((1, 1, 1, 1, 1), 4.0)])
    assert loss(wrong, batch)["loss"].item() == pytest.approx(9 / 3)
