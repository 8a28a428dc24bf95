"""Swin-UNETR is MONAI's, cut into encoder and decoder."""

from __future__ import annotations

import torch

from nnunetv2_lwi.networks import SwinUNETR

FROM_MONAI = {
    "swinViT.": "encoder.swin.",
    "encoder1.": "decoder.image_block.",
    "encoder2.": "decoder.skip_blocks.0.",
    "encoder3.": "decoder.skip_blocks.1.",
    "encoder4.": "decoder.skip_blocks.2.",
    "encoder10.": "decoder.bottleneck_block.",
    "decoder5.": "decoder.up_blocks.0.",
    "decoder4.": "decoder.up_blocks.1.",
    "decoder3.": "decoder.up_blocks.2.",
    "decoder2.": "decoder.up_blocks.3.",
    "decoder1.": "decoder.up_blocks.4.",
    "out.conv.conv.": "decoder.seg_layers.0.",
}


def test_same_function_as_monai(carry_over):
    from monai.networks import nets

    torch.manual_seed(0)
    original = nets.SwinUNETR(in_channels=2, out_channels=3, feature_size=12).eval()
    network = SwinUNETR(input_channels=2, num_classes=3, patch_size=[64, 32, 32], feature_size=12).eval()
    carry_over(original, network, FROM_MONAI)
    x = torch.randn(1, 2, 64, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(x), original(x), rtol=0, atol=1e-5)


def test_parameter_count():
    network = SwinUNETR(input_channels=1, num_classes=14, patch_size=[96, 96, 96])
    assert sum(parameter.numel() for parameter in network.parameters()) == 62_187_296


def test_runs_on_other_sizes_that_its_stride_allows():
    network = SwinUNETR(input_channels=1, num_classes=2, patch_size=[64, 32, 32], feature_size=12).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 32, 64, 32)).shape == (1, 2, 32, 64, 32)
