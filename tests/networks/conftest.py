"""What the tests of the networks share: small versions of all four, and weights carried over by a key map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_lwi.networks import UNETR, Primus, SwinUNETR, UNETRPlusPlus


@dataclass(frozen=True)
class Small:
    """A network small enough to run in a moment, on a patch without two equal edges."""

    network_class: type[nn.Module]
    arch_kwargs: dict[str, Any]
    """As JSON would give them."""
    stage_shapes: list[list[int]]
    """(E, D, H, W) of each of the encoder's entries after the image, if that is one of them."""

    @property
    def patch_size(self) -> list[int]:
        """(D, H, W)."""
        return self.arch_kwargs["patch_size"]

    def build(self, channels: int = 2, classes: int = 3, deep_supervision: bool = False) -> nn.Module:
        """Build it as nnU-Net's ``get_network_from_plans`` does."""
        return self.network_class(
            input_channels=channels,
            num_classes=classes,
            deep_supervision=deep_supervision,
            **self.arch_kwargs,
        )

    def batch(self, channels: int = 2) -> Tensor:
        """Random patches (2, C, D, H, W)."""
        return torch.randn(2, channels, *self.patch_size)


SMALL = {
    "unetr": Small(
        UNETR,
        {
            "patch_size": [48, 16, 32],
            "feature_size": 4,
            "hidden_size": 24,
            "mlp_dim": 32,
            "num_heads": 2,
            "num_layers": 4,
        },
        [[24, 3, 1, 2]] * 4,
    ),
    "swin_unetr": Small(
        SwinUNETR,
        {"patch_size": [96, 32, 64], "feature_size": 12, "depths": [2, 1, 1, 1], "num_heads": [1, 2, 2, 2]},
        [[12 * 2**i, 48 >> i, 16 >> i, 32 >> i] for i in range(5)],
    ),
    "unetr_pp": Small(
        UNETRPlusPlus,
        {
            "patch_size": [48, 32, 64],
            "features_per_stage": [4, 8, 12, 16, 20],
            "depths": [1, 2, 1, 1],
            "projection_sizes": [8, 8, 8, 4],
            "num_heads": 2,
        },
        [[8, 24, 8, 16], [12, 12, 4, 8], [16, 6, 2, 4], [20, 3, 1, 2]],
    ),
    "primus": Small(
        Primus,
        {
            "patch_size": [24, 8, 32],
            "patch_embed_size": [8, 4, 8],
            "embed_dim": 24,
            "eva_depth": 2,
            "eva_numheads": 2,
            "num_register_tokens": 2,
        },
        [[24, 3, 2, 4]],
    ),
}


@pytest.fixture(params=SMALL)
def small(request: pytest.FixtureRequest) -> Small:
    """Each of the four networks in turn."""
    torch.manual_seed(0)
    return SMALL[request.param]


@pytest.fixture
def small_unetr_pp() -> Small:
    """The only one of the four with deep supervision."""
    torch.manual_seed(0)
    return SMALL["unetr_pp"]


@pytest.fixture
def carry_over() -> Callable[[nn.Module, nn.Module, dict[str, str | None]], None]:
    """Copy weights between networks that name them differently.

    The key map has prefixes: the source's, and the target's or None for what the target leaves out. Every key
    of the source must be mapped and every key of the target met.
    """

    def carry(source: nn.Module, target: nn.Module, prefixes: dict[str, str | None]) -> None:
        mapped = {}
        for key, value in source.state_dict().items():
            old = max((prefix for prefix in prefixes if key.startswith(prefix)), key=len)
            new = prefixes[old]
            if new is not None:
                mapped[new + key.removeprefix(old)] = value
        target.load_state_dict(mapped, strict=True)

    return carry
