"""Small networks as nnU-Net's plans name them."""

from __future__ import annotations

from typing import Any

from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import Tensor, nn

UNET = "dynamic_network_architectures.architectures.unet"
REQUIRE_IMPORT = ["conv_op", "norm_op", "dropout_op", "nonlin"]


def unet_kwargs(
    strides: list[list[int]], features: int = 4, residual: bool = False, kernel_sizes: list[list[int]] | None = None
) -> dict[str, Any]:
    """``arch_kwargs`` of nnU-Net's own networks, with few features; kernels are flat where the strides are."""
    stages = len(strides)
    flat_like_strides = [[1 if stride[0] == 1 and stage else 3, 3, 3] for stage, stride in enumerate(strides)]
    blocks = "n_blocks_per_stage" if residual else "n_conv_per_stage"
    return {
        "n_stages": stages,
        "features_per_stage": [features * 2**stage for stage in range(stages)],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": kernel_sizes or flat_like_strides,
        "strides": strides,
        blocks: [1] * stages,
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def build_unet(
    strides: list[list[int]], channels: int = 1, outputs: int = 1, residual: bool = False, features: int = 4
) -> nn.Module:
    """PlainConvUNet, or the residual encoder U-Net."""
    name = f"{UNET}.{'ResidualEncoderUNet' if residual else 'PlainConvUNet'}"
    kwargs = unet_kwargs(strides, features, residual)
    return get_network_from_plans(name, kwargs, REQUIRE_IMPORT, channels, outputs, deep_supervision=True)


class ReadsValues(PlainConvUNet):  # type: ignore[misc]
    """Cannot run on shapes alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + x.mean().item())
