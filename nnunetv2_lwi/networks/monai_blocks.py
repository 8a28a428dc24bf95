"""MONAI is an extra: looked for only when a network that is made of its blocks is built."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from nnunetv2_lwi.errors import UserError

RESIDUAL_3D: dict[str, Any] = {
    "spatial_dims": 3,
    "kernel_size": 3,
    "norm_name": "instance",
    "res_block": True,
}
"""How UNETR and Swin-UNETR build each block of their decoders."""


def require_monai(network: str) -> None:
    """Stop with what to install if MONAI is missing."""
    if find_spec("monai") is None:
        raise UserError(f"{network} is made of MONAI's blocks: pip install 'nnunetv2_lwi[hybrids]'")
