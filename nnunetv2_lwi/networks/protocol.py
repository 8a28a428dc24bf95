"""What every network here has in common, and what step 1 of the method asks of any network.

    features = network.encoder(x)          # [Z_0, ..., Z_m], each (N, E_i, D_i, H_i, W_i), depth on axis 2
    logits = network.decoder(features)     # (N, K, D, H, W), or a list of them, full resolution first

Convolutions on the raw image belong to the decoder, as the order of the slabs is the encoder's to learn; the
image is then entry 0 of the list and carries no order head. Only ``decoder.seg_layers`` depends on the number
of classes K.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn


class EncoderDecoder(nn.Module):
    """A network that is its decoder after its encoder."""

    supports_deep_supervision: ClassVar[bool] = False
    order_levels: ClassVar[tuple[int, ...]]
    """Which entries of the encoder's list carry order heads."""

    def __init__(self, encoder: nn.Module, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """(N, C, D, H, W) to logits (N, K, D, H, W), or a list of them under deep supervision."""
        return self.decoder(self.encoder(x))


class Decoder(nn.Module):
    """From the encoder's list to logits; a subclass says how the features under each output come about."""

    def __init__(self, seg_layers: Sequence[nn.Module], deep_supervision: bool = False) -> None:
        super().__init__()
        self.seg_layers = nn.ModuleList(seg_layers)
        self.deep_supervision = deep_supervision

    def decode(self, features: list[Tensor]) -> list[Tensor]:
        """The encoder's list to the input of each output layer, full resolution first."""
        raise NotImplementedError

    def forward(self, features: list[Tensor]) -> Tensor | list[Tensor]:
        decoded = self.decode(features)
        if not self.deep_supervision:
            return self.seg_layers[0](decoded[0])
        return [layer(z) for layer, z in zip(self.seg_layers, decoded, strict=True)]


def refuse_deep_supervision(network: str, deep_supervision: bool) -> None:
    """Stop where a network with one output is asked for several: nnU-Net's weights for one scale are 0/0."""
    if deep_supervision:
        raise ValueError(
            f"{network} has one output and cannot be trained with deep supervision. Use the trainer "
            "nnUNetTrainerLWISeg, which adapts, or nnU-Net's nnUNetTrainerNoDeepSupervision."
        )


def tokens_to_grid(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    """Arrange a sequence (N, D'H'W', E), width fastest, as (N, E, D', H', W')."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *grid).contiguous()


def grid_to_tokens(grid: Tensor) -> Tensor:
    """Undo :func:`tokens_to_grid`: (N, E, D', H', W') to (N, D'H'W', E)."""
    return grid.flatten(2).transpose(1, 2)
