"""Primus is dynamic-network-architectures', cut into encoder and decoder."""

from __future__ import annotations

import pytest
import torch
from dynamic_network_architectures.architectures import primus

from nnunetv2_lwi.networks import Primus

FROM_ORIGINAL = {
    "down_projection.": "encoder.down_projection.",
    "eva.": "encoder.eva.",
    "register_tokens": "encoder.register_tokens",
    "mask_token": None,
    "up_projection.decode.": "decoder.up_projection.",
    "up_projection.decode.2.": "decoder.seg_layers.0.",
}
SIZES = {
    "patch_embed_size": (8, 4, 8),
    "embed_dim": 24,
    "eva_depth": 2,
    "eva_numheads": 2,
    "drop_path_rate": 0.2,
    "init_values": 0.1,
    "scale_attn_inner": True,
}


@pytest.mark.parametrize("registers", [0, 3])
def test_same_function_as_the_original(carry_over, registers):
    torch.manual_seed(0)
    size, classes = (24, 8, 32), 3
    sizes = {**SIZES, "num_register_tokens": registers}
    original = primus.Primus(input_channels=2, num_classes=classes, input_shape=size, **sizes).eval()
    network = Primus(2, classes, patch_size=size, decoder_classes=classes, **sizes).eval()
    carry_over(original, network, FROM_ORIGINAL)
    x = torch.randn(2, 2, *size)
    with torch.no_grad():
        torch.testing.assert_close(network(x), original(x), rtol=0, atol=1e-5)


def test_parameter_count_of_primus_s():
    with torch.device("meta"):
        original = primus.PrimusS(1, 14, (8, 8, 8), (64, 64, 64), init_values=0.1, scale_attn_inner=True)
        network = Primus(1, 14, patch_size=[64, 64, 64], decoder_classes=14)
    counts = [sum(parameter.numel() for parameter in net.parameters()) for net in (network, original)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("patch_embed_size", [8, 8, 6]), ("patch_embed_size", [1, 1, 1]), ("embed_dim", 400)],
)
def test_settings_that_do_not_fit_are_named(setting, value):
    with pytest.raises(ValueError, match=setting):
        Primus(input_channels=1, num_classes=2, patch_size=[24, 24, 24], **{setting: value})
