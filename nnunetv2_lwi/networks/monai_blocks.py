"""MONAI is an extra: looked for only when a network that is made of its blocks is built."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

RESIDUAL_3D: dict[str, Any] = {
    "spatial_dims": 3,
    "kernel_size": 3,
    "norm_name": "instance",
    "res_block": True,
}
"""How UNETR and Swin-UNETR build each block of their decoders."""


def require_monai(network: str) -> None:
    """Raises:
    ImportError: MONAI is missing; says what to install.
    """
    if find_spec("monai") is None:
        raise ImportError(f"{network} is made of MONAI's blocks: pip install 'nnunetv2_lwi[hybrids]'")


def skip_block(in_features: int, out_features: int) -> nn.Module:
    """Residual convolutions at one resolution, (N, E, D, H, W) to (N, E', D, H, W)."""
    from monai.networks.blocks.unetr_block import UnetrBasicBlock

    return UnetrBasicBlock(in_channels=in_features, out_channels=out_features, stride=1, **RESIDUAL_3D)


class UpPath(nn.ModuleList):
    """The coarsest features go up by 2 step by step, at each step joined with the skip of that resolution."""

    def __init__(self, widths: Sequence[int]) -> None:
        """Build one block between each two neighbouring widths.

        Args:
            widths: features of the coarsest input, then of each step's skip and output.
        """
        from monai.networks.blocks.unetr_block import UnetrUpBlock

        super().__init__(
            UnetrUpBlock(in_channels=below, out_channels=above, upsample_kernel_size=2, **RESIDUAL_3D)
            for below, above in pairwise(widths)
        )

    def forward(self, coarsest: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """To full resolution; ``skips`` are finest first."""
        z = coarsest
        for block, skip in zip(self, reversed(skips), strict=True):
            z = block(z, skip)
        return z
