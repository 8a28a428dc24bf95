"""Swin-UNETR (Hatamizadeh et al., arXiv 2201.01266) of MONAI's blocks: the function of its ``SwinUNETR``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nnunetv2_lwi.networks.monai_blocks import UpPath, require_monai, skip_block
from nnunetv2_lwi.networks.patch_size import check_patch_size
from nnunetv2_lwi.networks.protocol import Decoder, EncoderDecoder, refuse_deep_supervision

STRIDE = (32, 32, 32)
"""Patches of 2 and four mergings of 2."""


class SwinUNETR(EncoderDecoder):
    """Shifted-window attention at five resolutions under a convolutional decoder.

    The encoder's list is [x, five hidden states]: the image (N, C, D, H, W), then for i = 0..4
    (N, 2^i feature_size, D/2^(i+1), H/2^(i+1), W/2^(i+1)), each normalised over its features.
    """

    order_levels = (1, 2, 3, 4, 5)

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        patch_size: Sequence[int],
        deep_supervision: bool = False,
        feature_size: int = 48,
        depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 7,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        use_checkpoint: bool = False,
    ) -> None:
        """Build the network; the defaults are the published ones. It runs on any size that its stride allows.

        Args:
            input_channels: C.
            num_classes: K.
            patch_size: (D, H, W), multiples of 32, not all three 32.
            deep_supervision: must be false.
            feature_size: features at full resolution, a multiple of 12.
            depths: transformer blocks at each of the four stages.
            num_heads: attention heads at each stage.
            window_size: edge of the attention window, in tokens.
            drop_rate: dropout after the embedding, the projections and in the MLPs.
            attn_drop_rate: dropout of attention weights.
            drop_path_rate: highest rate of stochastic depth.
            use_checkpoint: recompute activations in the backward pass to save memory.
        """
        refuse_deep_supervision("Swin-UNETR", deep_supervision)
        require_monai("Swin-UNETR")
        check_input(patch_size)
        from monai.networks.nets.swin_unetr import SwinTransformer

        transformer = SwinTransformer(
            in_chans=input_channels,
            embed_dim=feature_size,
            window_size=(window_size,) * 3,
            patch_size=(2, 2, 2),
            depths=depths,
            num_heads=num_heads,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            drop_path_rate=drop_path_rate,
            use_checkpoint=use_checkpoint,
        )
        super().__init__(SwinEncoder(transformer), SwinUNETRDecoder(input_channels, num_classes, feature_size))


class SwinEncoder(nn.Module):
    """MONAI's Swin transformer, the image put before its hidden states."""

    def __init__(self, swin: nn.Module) -> None:
        super().__init__()
        self.swin = swin

    def forward(self, x: Tensor) -> list[Tensor]:
        check_input(x.shape[2:])
        return [x, *self.swin(x)]


class SwinUNETRDecoder(Decoder):
    """A residual block on all but one of the hidden states, then up step by step.

    The hidden state at 1/16 joins the decoder as it is, as in MONAI's network.
    """

    def __init__(self, input_channels: int, num_classes: int, feature_size: int) -> None:
        super().__init__([nn.Conv3d(feature_size, num_classes, kernel_size=1)])
        widths = [feature_size * 2**level for level in range(5)]
        self.image_block = skip_block(input_channels, feature_size)
        self.skip_blocks = nn.ModuleList(skip_block(width, width) for width in widths[:3])
        self.bottleneck_block = skip_block(widths[4], widths[4])
        self.up_blocks = UpPath([*reversed(widths), feature_size])

    def decode(self, features: list[Tensor]) -> list[Tensor]:
        image, *hidden, sixteenth, bottleneck = features
        skips = [
            self.image_block(image),
            *(b(h) for b, h in zip(self.skip_blocks, hidden, strict=True)),
            sixteenth,
        ]
        return [self.up_blocks(self.bottleneck_block(bottleneck), skips)]


def check_input(size: Sequence[int]) -> None:
    """The deepest features meet an instance normalisation, which needs more than one position."""
    check_patch_size("Swin-UNETR", size, STRIDE, fewest_tokens=2)
