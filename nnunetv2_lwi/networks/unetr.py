"""UNETR (Hatamizadeh et al., arXiv 2103.10504) from MONAI's blocks: the function of its ``UNETR``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nnunetv2_lwi.networks.monai_blocks import RESIDUAL_3D, UpPath, require_monai, skip_block
from nnunetv2_lwi.networks.patch_size import Size, check_input_size, check_patch_size
from nnunetv2_lwi.networks.protocol import Decoder, EncoderDecoder, refuse_deep_supervision, tokens_to_grid

TOKEN_SIZE: Size = (16, 16, 16)
"""Edges of the cube that is one token (section 3.1); the decoder undoes it in four steps of 2."""


class UNETR(EncoderDecoder):
    """A vision transformer under a convolutional decoder that takes its hidden states.

    The encoder's list is [x, three hidden states, normalised output]: the image (N, C, D, H, W), then four
    times (N, hidden_size, D/16, H/16, W/16).
    """

    order_levels = (1, 2, 3, 4)

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        patch_size: Sequence[int],
        deep_supervision: bool = False,
        feature_size: int = 16,
        hidden_size: int = 768,
        mlp_dim: int = 3072,
        num_heads: int = 12,
        num_layers: int = 12,
        dropout_rate: float = 0.0,
    ) -> None:
        """Build the network for one patch size; the defaults are the published ones.

        Args:
            input_channels: C.
            num_classes: K.
            patch_size: (D, H, W), multiples of 16.
            deep_supervision: must be false.
            feature_size: features at full resolution, doubled at each coarser step of the decoder.
            hidden_size: features of a token.
            mlp_dim: features inside the transformer's MLPs.
            num_heads: attention heads.
            num_layers: transformer blocks, at least 3.
            dropout_rate: in the transformer.
        """
        refuse_deep_supervision("UNETR", deep_supervision)
        require_monai("UNETR")
        size = check_patch_size("UNETR", patch_size, TOKEN_SIZE)
        super().__init__(
            UNETREncoder(input_channels, size, hidden_size, mlp_dim, num_heads, num_layers, dropout_rate),
            UNETRDecoder(input_channels, num_classes, hidden_size, feature_size),
        )


class UNETREncoder(nn.Module):
    """MONAI's ViT, its tokens arranged as grids."""

    def __init__(
        self,
        input_channels: int,
        patch_size: Size,
        hidden_size: int,
        mlp_dim: int,
        num_heads: int,
        num_layers: int,
        dropout_rate: float,
    ) -> None:
        from monai.networks.nets.vit import ViT

        super().__init__()
        self.patch_size = patch_size
        self.grid = tuple(edge // token for edge, token in zip(patch_size, TOKEN_SIZE, strict=True))
        self.hidden_layers = hidden_layers(num_layers)
        self.vit = ViT(
            in_channels=input_channels,
            img_size=patch_size,
            patch_size=TOKEN_SIZE,
            hidden_size=hidden_size,
            mlp_dim=mlp_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            dropout_rate=dropout_rate,
        )
        drop_cross_attention(self.vit)
        initialize_embedding(self.vit)

    def forward(self, x: Tensor) -> list[Tensor]:
        check_input_size("UNETR", x, self.patch_size)
        output, hidden = self.vit(x)
        sequences = [*(hidden[i] for i in self.hidden_layers), output]
        return [x, *(tokens_to_grid(sequence, self.grid) for sequence in sequences)]


class UNETRDecoder(Decoder):
    """Each hidden state is upsampled to its level and joined with what comes from below (section 3.2)."""

    def __init__(self, input_channels: int, num_classes: int, hidden_size: int, feature_size: int) -> None:
        from monai.networks.blocks.unetr_block import UnetrPrUpBlock

        super().__init__([nn.Conv3d(feature_size, num_classes, kernel_size=1)])
        self.image_block = skip_block(input_channels, feature_size)
        self.hidden_blocks = nn.ModuleList(
            UnetrPrUpBlock(
                in_channels=hidden_size,
                out_channels=feature_size * 2**level,
                num_layer=3 - level,
                stride=1,
                upsample_kernel_size=2,
                conv_block=True,
                **RESIDUAL_3D,
            )
            for level in (1, 2, 3)
        )
        self.up_blocks = UpPath([hidden_size, *(feature_size * 2**level for level in (3, 2, 1, 0))])

    def decode(self, features: list[Tensor]) -> list[Tensor]:
        image, *hidden, output = features
        skips = [self.image_block(image), *(b(h) for b, h in zip(self.hidden_blocks, hidden, strict=True))]
        return [self.up_blocks(output, skips)]


def hidden_layers(num_layers: int) -> tuple[int, int, int]:
    """Which blocks' outputs the decoder takes, counted from 0: those at the quarters, 3, 6 and 9 of 12."""
    if num_layers < 3:
        raise ValueError(f"UNETR: num_layers must be at least 3, got {num_layers}.")
    first, second, third = (num_layers * quarter // 4 for quarter in (1, 2, 3))
    return first, second, third


def initialize_embedding(vit: nn.Module) -> None:
    """As the linear layer on flattened tokens of the paper's code, ``pos_embed="perceptron"``, which a convolution with the
    tokens' size and stride equals."""
    embedding = vit.patch_embedding.patch_embeddings  # type: ignore[union-attr]
    nn.init.trunc_normal_(embedding.weight, std=0.02)  # type: ignore[union-attr,arg-type]
    nn.init.zeros_(embedding.bias)  # type: ignore[union-attr,arg-type]


def drop_cross_attention(vit: nn.Module) -> None:
    """Take out what MONAI's blocks hold but do not use: DDP stops at weights without a gradient."""
    for block in vit.blocks:  # type: ignore[union-attr]
        block.norm_cross_attn = nn.Identity()
        block.cross_attn = nn.Identity()
