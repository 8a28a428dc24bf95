"""Features stage by stage, on nnU-Net's networks and on the hybrids."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_lwi.networks.volumes import features_by_stage
from tests.networks.conftest import SMALL
from tests.networks_for_tests import build_unet


@pytest.mark.parametrize("residual", [False, True])
def test_stages_of_nnunet_s_networks_are_what_its_output_layers_see(residual: bool):
    network = build_unet([[1, 1, 1], [2, 2, 2], [2, 2, 2]], outputs=2, residual=residual).eval()
    batch = torch.randn(1, 1, 8, 16, 16)
    stages = features_by_stage(network, batch)
    assert list(stages) == ["encoder 0", "encoder 1", "encoder 2", "decoder 1", "decoder 2"]
    assert [list(stages[f"decoder {n}"].shape[1:]) for n in (1, 2)] == [[8, 4, 8, 8], [4, 8, 16, 16]]
    network.decoder.deep_supervision = True
    full, half = network(batch)
    for number, output, layer in ((1, half, 0), (2, full, 1)):
        assert torch.allclose(network.decoder.seg_layers[layer](stages[f"decoder {number}"]), output)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", SMALL)
def test_the_last_stage_of_the_hybrids_is_what_the_output_layer_sees(name: str):
    torch.manual_seed(0)
    small = SMALL[name]
    network = small.build(channels=1, classes=2).eval()
    batch = small.batch(1)[:1]
    stages = features_by_stage(network, batch)
    levels = network.encoder(batch)
    assert [key for key in stages if key.startswith("encoder")] == [f"encoder {i}" for i in range(len(levels))]
    last = [value for key, value in stages.items() if key.startswith("decoder")][-1]
    with torch.no_grad():
        assert torch.allclose(network.decoder.seg_layers[0](last), network(batch), atol=1e-5)
