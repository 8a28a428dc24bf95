"""Order prediction: one linear classifier per level tells where each slab came from (paper, section III-C, eqs. 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence

from einops import reduce
from torch import Tensor, nn

from nnunetv2_lwi.method.levels import Level


def pool_slabs(features: Tensor, slabs: int) -> Tensor:
    """Average a level's features over H, W and the depth positions of each slab; never across slabs.

    Args:
        features: Z_i, (N, E, D_i, H_i, W_i), D_i a multiple of B.
        slabs: B.

    Returns:
        (N, B, E), position f along B being slab f of the shuffled volume.
    """
    return reduce(features, "n e (b d) h w -> n b e", "mean", b=slabs)


def linear(features: int, slabs: int) -> nn.Module:
    """The paper's classifier (eq. 6)."""
    return nn.Linear(features, slabs)


def mlp(features: int, slabs: int) -> nn.Module:
    """One with a hidden layer, which need not press the order into the features themselves."""
    return nn.Sequential(nn.Linear(features, features), nn.GELU(), nn.Linear(features, slabs))


CLASSIFIERS = {"linear": linear, "mlp": mlp}


class OrderHeads(nn.Module):
    """A linear classifier at each of the given levels, shared by the positions of a level.

    Forward: the encoder's list [Z_0, ..., Z_m] to one tensor of logits (N, B, B) per head; entry [n, f, s] speaks for
    original slab s standing at position f.
    """

    def __init__(self, levels: Sequence[Level], slabs: int, kind: str = "linear") -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.slabs = slabs
        self.classifiers = nn.ModuleList(CLASSIFIERS[kind](level.features, slabs) for level in levels)

    def forward(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """One (N, B, B) per level that carries a head, in the order of ``self.levels``."""
        return [
            classifier(pool_slabs(skips[level.index], self.slabs))
            for level, classifier in zip(self.levels, self.classifiers, strict=True)
        ]
