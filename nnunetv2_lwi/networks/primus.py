"""Primus (Wald et al., arXiv 2503.01835) of dynamic-network-architectures, encoder and decoder apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log2
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_lwi.networks.patch_size import Size, check_input_size, check_patch_size
from nnunetv2_lwi.networks.protocol import Decoder, EncoderDecoder, grid_to_tokens, refuse_deep_supervision, tokens_to_grid


class Primus(EncoderDecoder):
    """A transformer that alone carries the features, between a patch embedding and transposed convolutions.

    The encoder's list is [tokens], (N, embed_dim, D/p, H/p, W/p) with p the edges of an embedded patch.

    The original sets the widths of its decoder by the number of classes. Step 1 and step 2 differ in that
    number and must agree in the rest, so ``decoder_classes`` sets them here; with the data set's number of
    classes this is the original. Its dropping of tokens (``patch_drop_rate``) is left out: step 1 masks by
    itself.
    """

    order_levels = (0,)

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        patch_size: Sequence[int],
        deep_supervision: bool = False,
        patch_embed_size: Sequence[int] = (8, 8, 8),
        embed_dim: int = 396,
        eva_depth: int = 12,
        eva_numheads: int = 6,
        num_register_tokens: int = 0,
        drop_path_rate: float = 0.2,
        init_values: float | None = 0.1,
        scale_attn_inner: bool = True,
        decoder_classes: int = 2,
    ) -> None:
        """Build the network for one patch size; the defaults are those of nnU-Net's trainer for Primus-S.

        Args:
            input_channels: C.
            num_classes: K.
            patch_size: (D, H, W), multiples of ``patch_embed_size``.
            deep_supervision: must be false.
            patch_embed_size: edges of the patch that is one token, powers of 2.
            embed_dim: features of a token, a multiple of 6 ``eva_numheads``.
            eva_depth: transformer blocks.
            eva_numheads: attention heads.
            num_register_tokens: learned tokens that take part in the attention and are not handed on.
            drop_path_rate: highest rate of stochastic depth.
            init_values: initial scale of each residual branch, or None for no scales.
            scale_attn_inner: normalise the attention's output before its projection.
            decoder_classes: for how many classes Primus's rule sets the widths of the decoder.
        """
        refuse_deep_supervision("Primus", deep_supervision)
        check_settings(patch_embed_size, embed_dim, eva_numheads)
        size = check_patch_size("Primus", patch_size, patch_embed_size)
        from dynamic_network_architectures.architectures import primus

        original = primus.Primus(
            input_channels=input_channels,
            embed_dim=embed_dim,
            patch_embed_size=tuple(patch_embed_size),
            num_classes=decoder_classes,
            eva_depth=eva_depth,
            eva_numheads=eva_numheads,
            input_shape=size,
            num_register_tokens=num_register_tokens,
            drop_path_rate=drop_path_rate,
            init_values=init_values,
            scale_attn_inner=scale_attn_inner,
        )
        super().__init__(PrimusEncoder(original, size), PrimusDecoder(original.up_projection.decode, num_classes))


class PrimusEncoder(nn.Module):
    """Patch embedding and transformer; the register tokens go in with the patches and stay behind."""

    def __init__(self, original: Any, patch_size: Size) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.down_projection = original.down_projection
        self.eva = original.eva
        self.register_tokens = original.register_tokens

    def forward(self, x: Tensor) -> list[Tensor]:
        check_input_size("Primus", x, self.patch_size)
        embedded = self.down_projection(x)
        tokens = grid_to_tokens(embedded)
        patches = tokens.shape[1]
        if self.register_tokens is not None:
            tokens = torch.cat([self.register_tokens.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens, _ = self.eva(tokens)
        return [tokens_to_grid(tokens[:, -patches:], embedded.shape[2:])]


class PrimusDecoder(Decoder):
    """The up-projection; its last transposed convolution is the output layer."""

    def __init__(self, up_projection: Iterable[Any], num_classes: int) -> None:
        from dynamic_network_architectures.initialization.weight_init import InitWeights_He

        *hidden, last = up_projection
        output = nn.ConvTranspose3d(last.in_channels, num_classes, kernel_size=last.kernel_size, stride=last.stride)
        super().__init__([output.apply(InitWeights_He(1e-2))])
        self.up_projection = nn.Sequential(*hidden)

    def decode(self, features: list[Tensor]) -> list[Tensor]:
        (tokens,) = features
        return [self.up_projection(tokens)]


def check_settings(patch_embed_size: Sequence[int], embed_dim: int, eva_numheads: int) -> None:
    """Stop, naming the setting, where the original would stop with an assertion or miss the patch size."""
    if len(patch_embed_size) != 3 or max(patch_embed_size) < 2 or any(log2(p) % 1 for p in patch_embed_size):
        raise ValueError(f"Primus: patch_embed_size must be three powers of 2, not all 1, got {list(patch_embed_size)}.")
    if embed_dim % (6 * eva_numheads):
        raise ValueError(f"Primus: embed_dim must be a multiple of 6 x eva_numheads ({6 * eva_numheads}), got {embed_dim}.")
