"""Efficient paired attention, the block of UNETR++ (Shaker et al., arXiv 2212.04497, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnunetv2_lwi.networks.protocol import grid_to_tokens, tokens_to_grid


@dataclass(frozen=True)
class EPASettings:
    """What all blocks of one network share."""

    num_heads: int = 4
    shared_projection: bool = True
    """One projection for keys and values; otherwise one for each."""
    residual_blocks: int = 1
    """Convolutional blocks after each attention."""
    attention_dropout: float = 0.15
    released_token_order: bool = False
    """Read the spatial attention in the order of the released code (see :func:`merge_heads`)."""


class EPABlock(nn.Module):
    """Attention, then convolutions, each around a residual connection; (N, E, D, H, W) in and out."""

    def __init__(self, grid: Sequence[int], features: int, projection_size: int, settings: EPASettings) -> None:
        """Build a block for one grid.

        Args:
            grid: (D, H, W) of the features, which fixes the position embeddings and the projections.
            features: E.
            projection_size: P, to how many positions keys and values are projected.
            settings: what all blocks share.
        """
        super().__init__()
        tokens = prod(grid)
        self.positions = nn.Parameter(torch.zeros(1, tokens, features))
        self.norm = nn.LayerNorm(features)
        self.attention = PairedAttention(tokens, features, projection_size, settings)
        self.attention_scale = nn.Parameter(torch.full((features,), 1e-6))
        self.convolutions = nn.Sequential(
            *(ResidualBlock(features, features, nn.BatchNorm3d) for _ in range(settings.residual_blocks)),
            nn.Dropout3d(0.1),
            nn.Conv3d(features, features, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = grid_to_tokens(x) + self.positions
        tokens = tokens + self.attention_scale * self.attention(self.norm(tokens))
        attended = tokens_to_grid(tokens, x.shape[2:])
        return attended + self.convolutions(attended)


class PairedAttention(nn.Module):
    """Spatial and channel attention that share queries and keys; (N, T, E) in and out, T = D H W.

    The channel branch compares features with features, the spatial branch positions with P projected ones, so
    both are linear in T. As released, a learned temperature stands for 1/sqrt(d), queries and keys are
    normalised along T (but not the keys that are projected), and each branch fills half of the features.
    """

    def __init__(self, tokens: int, features: int, projection_size: int, settings: EPASettings) -> None:
        super().__init__()
        self.num_heads = settings.num_heads
        self.released_token_order = settings.released_token_order
        self.qkvv = nn.Linear(features, 4 * features, bias=False)
        self.projections = nn.ModuleList(
            nn.Linear(tokens, projection_size) for _ in range(1 if settings.shared_projection else 2)
        )
        self.channel_temperature = nn.Parameter(torch.ones(settings.num_heads, 1, 1))
        self.spatial_temperature = nn.Parameter(torch.ones(settings.num_heads, 1, 1))
        self.channel_dropout = nn.Dropout(settings.attention_dropout)
        self.spatial_dropout = nn.Dropout(settings.attention_dropout)
        self.spatial_output = nn.Linear(features, features // 2)
        self.channel_output = nn.Linear(features, features // 2)

    def forward(self, x: Tensor) -> Tensor:
        split = self.qkvv(x).unflatten(-1, (4, self.num_heads, -1)).permute(2, 0, 3, 4, 1)
        queries, keys, channel_values, spatial_values = split  # each (N, heads, e, T), e = E / heads
        projected_keys = self.projections[0](keys)  # (N, heads, e, P)
        projected_values = self.projections[-1](spatial_values)
        queries, keys = F.normalize(queries, dim=-1), F.normalize(keys, dim=-1)

        similarity = queries @ keys.mT * self.channel_temperature  # (N, heads, e, e)
        channel = self.channel_dropout(similarity.softmax(dim=-1)) @ channel_values  # (N, heads, e, T)

        similarity = queries.mT @ projected_keys * self.spatial_temperature  # (N, heads, T, P)
        spatial = self.spatial_dropout(similarity.softmax(dim=-1)) @ projected_values.mT  # (N, heads, T, e)

        merged = merge_heads(spatial, self.released_token_order)
        return torch.cat([self.spatial_output(merged), self.channel_output(merge_heads(channel.mT))], dim=-1)


def merge_heads(heads: Tensor, released_token_order: bool = False) -> Tensor:
    """Join the heads' features position by position: (N, heads, T, e) to (N, T, heads e).

    The released code permutes the spatial branch to (N, e, heads, T) and reads that memory as (N, T, E), so
    that a position is given features of others. Its authors confirm the slip and report that Dice hardly
    differs (87.1 and 87.2; github.com/Amshaker/unetr_plus_plus, issue 62). The default is the paper's order;
    the released one is for their weights.
    """
    samples, num_heads, tokens, features = heads.shape
    if released_token_order:
        return heads.permute(0, 3, 1, 2).reshape(samples, tokens, num_heads * features)
    return heads.transpose(1, 2).reshape(samples, tokens, num_heads * features)


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions and a residual connection, a 1x1x1 convolution where the width changes."""

    def __init__(self, in_features: int, out_features: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(in_features, out_features, kernel_size=3, padding=1, bias=False),
            norm(out_features),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv3d(out_features, out_features, kernel_size=3, padding=1, bias=False),
            norm(out_features),
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_features != out_features:
            convolution = nn.Conv3d(in_features, out_features, kernel_size=1, bias=False)
            self.shortcut = nn.Sequential(convolution, norm(out_features))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.body(x) + self.shortcut(x), 0.01)
