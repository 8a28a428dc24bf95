"""Data-independent initialisation schemes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nnunetv2_lwi.handover.initialization import SCHEMES, initialize


@pytest.mark.parametrize("layer", [nn.Linear(64, 64), nn.Conv3d(8, 8, 3), nn.ConvTranspose3d(8, 8, 2)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_kind_of_layer_with_weights_is_drawn_anew(layer: nn.Module, scheme: str):
    nn.init.constant_(layer.weight, 7.0)
    nn.init.constant_(layer.bias, 7.0)
    initialize(nn.Sequential(layer), scheme)
    assert layer.weight.unique().numel() > 100 and layer.weight.abs().max() < 2
    assert not layer.bias.any()


def test_norms_and_the_network_s_own_stay():
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.LayerNorm(4))
    nn.init.constant_(network[1].weight, 3.0)
    before = network[0].weight.clone()
    initialize(network, "network")
    assert torch.equal(network[0].weight, before)
    initialize(network, "xavier_uniform")
    assert not torch.equal(network[0].weight, before) and (network[1].weight == 3).all()


@pytest.mark.parametrize("scheme", ["network", *SCHEMES])
def test_what_is_drawn_next_does_not_depend_on_the_scheme(scheme):
    """Trainings of one seed see the same batches, whatever they start from."""
    layer = nn.Linear(8, 8)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    initialize(layer, scheme)
    assert torch.equal(torch.rand(3), expected)
