"""Shapes and gradients found without computing, on nnU-Net's networks and on what cannot run on shapes."""

from __future__ import annotations

import pydoc

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.networks.dry_run import on_shapes, parameters_without_gradient, run_on_shapes
from tests.networks_for_tests import ReadsValues, build_unet, unet_kwargs


@pytest.mark.parametrize("residual", [False, True])
def test_the_probe_leaves_a_network_that_shares_modules_on_its_device(residual):
    """nnU-Net's decoders hold the encoder under a second name."""
    network = build_unet([[1, 1, 1], [2, 2, 2]], residual=residual)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert run_on_shapes(network.encoder, 1, (8, 8, 8))[-1].device.type == "meta"
    parameters_without_gradient(network, 1, (8, 8, 8))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert network(torch.zeros(1, 1, 8, 8, 8))[0].device.type == "cpu"


class Unused(nn.Module):
    def __init__(self, reads_values: bool):
        super().__init__()
        self.used, self.unused, self.norm = nn.Conv3d(1, 2, 1), nn.Linear(2, 2), nn.BatchNorm3d(2)
        self.reads_values = reads_values

    def forward(self, x):
        if self.reads_values:
            x.max().item()
        return [self.norm(self.used(x)), None]


@pytest.mark.parametrize("reads_values", [False, True])
def test_unused_parameters_are_found(reads_values):
    module = Unused(reads_values)
    assert parameters_without_gradient(module, 1, (2, 2, 2)) == ["unused.weight", "unused.bias"]
    assert module.norm.num_batches_tracked == 0


def test_a_patch_that_the_network_refuses_is_told():
    with pytest.raises(UserError, match="does not accept a batch of shape"):
        run_on_shapes(nn.Conv3d(1, 1, 5), 1, (2, 2, 2))


@pytest.mark.parametrize(("cls", "device"), [(PlainConvUNet, "meta"), (ReadsValues, "cpu")])
def test_a_network_is_tried_without_memory_for_its_weights_wherever_it_can_be(cls, device):
    kwargs = unet_kwargs([[1, 1, 1], [2, 2, 2]])
    for name in ("conv_op", "norm_op", "nonlin"):
        kwargs[name] = pydoc.locate(kwargs[name])

    def build():
        network = cls(input_channels=1, num_classes=2, **kwargs)
        return network, run_on_shapes(network, 1, (8, 8, 8))

    network, output = on_shapes(build)
    assert {parameter.device.type for parameter in network.parameters()} == {device}
    assert output.shape == (2, 2, 8, 8, 8)


def test_a_plan_that_is_wrong_is_told_in_the_words_of_the_real_attempt():
    with pytest.raises(UserError, match="does not accept a batch of shape"):
        on_shapes(lambda: run_on_shapes(nn.Conv3d(1, 1, 5), 1, (2, 2, 2)))
