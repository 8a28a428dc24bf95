"""UNETR is MONAI's, cut into encoder and decoder."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_lwi.networks import UNETR
from nnunetv2_lwi.networks.unetr import hidden_layers

SIZES = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 32, "num_heads": 2}

FROM_MONAI = {
    "vit.": "encoder.vit.",
    "encoder1.": "decoder.image_block.",
    "encoder2.": "decoder.hidden_blocks.0.",
    "encoder3.": "decoder.hidden_blocks.1.",
    "encoder4.": "decoder.hidden_blocks.2.",
    "decoder5.": "decoder.up_blocks.0.",
    "decoder4.": "decoder.up_blocks.1.",
    "decoder3.": "decoder.up_blocks.2.",
    "decoder2.": "decoder.up_blocks.3.",
    "out.conv.conv.": "decoder.seg_layers.0.",
    **{f"vit.blocks.{i}.norm_cross_attn.": None for i in range(12)},
}


def test_same_function_as_monai(carry_over):
    from monai.networks import nets

    torch.manual_seed(0)
    size = (48, 16, 32)
    original = nets.UNETR(in_channels=2, out_channels=3, img_size=size, **SIZES).eval()
    network = UNETR(input_channels=2, num_classes=3, patch_size=size, **SIZES).eval()
    carry_over(original, network, FROM_MONAI)
    x = torch.randn(2, 2, *size)
    with torch.no_grad():
        torch.testing.assert_close(network(x), original(x), rtol=0, atol=1e-5)


def test_parameter_count():
    """MONAI's 92,802,478 less the 18,432 that it does not use."""
    with torch.device("meta"):
        network = UNETR(input_channels=1, num_classes=14, patch_size=[96, 96, 96])
    assert sum(parameter.numel() for parameter in network.parameters()) == 92_784_046


def test_hidden_layers():
    assert hidden_layers(12) == (3, 6, 9)
    assert len(set(hidden_layers(3))) == 3
    with pytest.raises(ValueError, match="num_layers"):
        hidden_layers(2)


def test_tokens_are_embedded_as_by_the_papers_linear_layer_at_the_start():
    """``pos_embed="perceptron"`` of its code: a truncated normal of 0.02, and no bias."""
    embedding = UNETR(
        input_channels=1, num_classes=2, patch_size=(32, 32, 32), **SIZES
    ).encoder.vit.patch_embedding.patch_embeddings
    assert embedding.bias.abs().max() == 0 and abs(embedding.weight.std() - 0.02) < 0.001
