"""UNETR++ (Shaker et al., arXiv 2212.04497; IEEE TMI 2024), written from its paper.

What the paper leaves open (widths, normalisations, initial values) follows the authors' released code; with
``released_token_order`` and the same weights, both give the same output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import gcd, prod

from torch import Tensor, nn

from nnunetv2_lwi.networks.epa import EPABlock, EPASettings, ResidualBlock
from nnunetv2_lwi.networks.patch_size import Size, check_input_size, check_patch_size
from nnunetv2_lwi.networks.protocol import Decoder, EncoderDecoder


class UNETRPlusPlus(EncoderDecoder):
    """Four stages of efficient paired attention, each coarser, and a decoder that mirrors them.

    The encoder's list is [x, four stages]: the image (N, C, D, H, W), then (N, E_i, D_i, H_i, W_i). Deep
    supervision has three outputs: full resolution and the two finest stages.
    """

    supports_deep_supervision = True
    order_levels = (1, 2, 3, 4)
    deep_supervision_weights = (4 / 7, 2 / 7, 1 / 7)

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        patch_size: Sequence[int],
        deep_supervision: bool = False,
        strides: Sequence[Sequence[int]] = ((1, 1, 1), (2, 4, 4), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
        features_per_stage: Sequence[int] = (16, 32, 64, 128, 256),
        depths: Sequence[int] = (3, 3, 3, 3),
        projection_sizes: Sequence[int] = (64, 64, 64, 32),
        num_heads: int = 4,
        shared_projection: bool = True,
        residual_blocks: int = 1,
        attention_dropout: float = 0.15,
        released_token_order: bool = False,
    ) -> None:
        """Build the network for one patch size; the defaults are those published for Synapse.

        Synapse has patch 64 x 128 x 128. Lung has patch 32 x 192 x 192, a stem of 1 x 4 x 4, two projections,
        two residual blocks and dropout 0.1.

        Args:
            input_channels: C.
            num_classes: K.
            patch_size: (D, H, W), multiples of the product of the strides.
            deep_supervision: three outputs instead of one.
            strides: five, as nnU-Net lists them: full resolution (ones), stem, three further stages.
            features_per_stage: five, for the same resolutions.
            depths: four, the EPA blocks of each stage, in encoder and decoder alike.
            projection_sizes: four, to how many positions each stage projects keys and values.
            num_heads: attention heads, in every block.
            shared_projection: one projection for keys and values.
            residual_blocks: convolutional blocks after each attention.
            attention_dropout: dropout of attention weights.
            released_token_order: see :func:`nnunetv2_lwi.networks.epa.merge_heads`.
        """
        check_stages(strides, features_per_stage, depths, projection_sizes, num_heads)
        size = check_patch_size("UNETR++", patch_size, [prod(axis) for axis in zip(*strides, strict=True)])
        grids = stage_grids(size, strides)
        stages = [
            Stage(*stage) for stage in zip(grids, strides[1:], features_per_stage[1:], depths, projection_sizes, strict=True)
        ]
        epa = EPASettings(num_heads, shared_projection, residual_blocks, attention_dropout, released_token_order)
        super().__init__(
            UNETRPlusPlusEncoder(input_channels, size, stages, epa),
            UNETRPlusPlusDecoder(input_channels, num_classes, features_per_stage[0], stages, epa, deep_supervision),
        )
        self.deep_supervision_scales = [
            [coarse / fine for coarse, fine in zip(grid, size, strict=True)] for grid in (size, *grids[:2])
        ]


@dataclass(frozen=True)
class Stage:
    """One resolution of encoder and decoder."""

    grid: Size
    stride: Sequence[int]
    """From the next finer resolution to this one."""
    features: int
    depth: int
    projection_size: int

    def blocks(self, epa: EPASettings) -> nn.Sequential:
        """The stage's EPA blocks."""
        return nn.Sequential(*(EPABlock(self.grid, self.features, self.projection_size, epa) for _ in range(self.depth)))


class UNETRPlusPlusEncoder(nn.Module):
    """Non-overlapping convolutions between stages of EPA blocks (section 3.1)."""

    def __init__(self, input_channels: int, patch_size: Size, stages: Sequence[Stage], epa: EPASettings) -> None:
        super().__init__()
        self.patch_size = patch_size
        widths = [input_channels, *(stage.features for stage in stages)]
        self.downsamplings = nn.ModuleList(downsampling(width, stage) for width, stage in zip(widths, stages, strict=False))
        self.stages = nn.ModuleList(stage.blocks(epa) for stage in stages)
        self.stages.apply(initialize_linear)

    def forward(self, x: Tensor) -> list[Tensor]:
        check_input_size("UNETR++", x, self.patch_size)
        features = [x]
        for downsample, stage in zip(self.downsamplings, self.stages, strict=True):
            features.append(stage(downsample(features[-1])))
        return features


class UNETRPlusPlusDecoder(Decoder):
    """Upsample, add the encoder's stage, EPA blocks; at full resolution, convolutions only."""

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        full_resolution_features: int,
        stages: Sequence[Stage],
        epa: EPASettings,
        deep_supervision: bool,
    ) -> None:
        widths = [full_resolution_features, *(stage.features for stage in stages)]
        super().__init__([nn.Conv3d(width, num_classes, kernel_size=1) for width in widths[:3]], deep_supervision)
        self.image_block = ResidualBlock(input_channels, widths[0], nn.InstanceNorm3d)
        self.upsamplings = nn.ModuleList(
            upsampling(stage, width) for stage, width in zip(reversed(stages), widths[-2::-1], strict=True)
        )
        self.stages = nn.ModuleList(stage.blocks(epa) for stage in reversed(stages[:-1]))
        self.stages.append(ResidualBlock(widths[0], widths[0], nn.InstanceNorm3d))

    def decode(self, features: list[Tensor]) -> list[Tensor]:
        image, *skips, z = features
        skips.insert(0, self.image_block(image))
        decoded: list[Tensor] = []
        for upsample, stage, skip in zip(self.upsamplings, self.stages, reversed(skips), strict=True):
            z = stage(upsample(z) + skip)
            decoded.insert(0, z)
        return decoded[: len(self.seg_layers)]


def downsampling(in_features: int, stage: Stage) -> nn.Sequential:
    """A convolution with kernel = stride, then group normalisation: as many groups as inputs, if they fit."""
    size = (stage.stride[0], stage.stride[1], stage.stride[2])
    return nn.Sequential(
        nn.Conv3d(in_features, stage.features, kernel_size=size, stride=size, bias=False),
        nn.GroupNorm(gcd(in_features, stage.features), stage.features),
    )


def upsampling(stage: Stage, out_features: int) -> nn.ConvTranspose3d:
    """The transposed convolution that undoes a stage's stride."""
    size = (stage.stride[0], stage.stride[1], stage.stride[2])
    return nn.ConvTranspose3d(stage.features, out_features, kernel_size=size, stride=size, bias=False)


def initialize_linear(module: nn.Module) -> None:
    """Normal with deviation 0.02 and no bias, as released: in the encoder only, not in the decoder."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def stage_grids(patch_size: Size, strides: Sequence[Sequence[int]]) -> list[Size]:
    """(D, H, W) of each stage's features, finest first, without full resolution."""
    total = accumulate(strides[1:], lambda above, stride: [a * s for a, s in zip(above, stride, strict=True)])
    depth, height, width = patch_size
    return [(depth // d, height // h, width // w) for d, h, w in total]


def check_stages(
    strides: Sequence[Sequence[int]],
    features_per_stage: Sequence[int],
    depths: Sequence[int],
    projection_sizes: Sequence[int],
    num_heads: int,
) -> None:
    """Stop, naming the setting, where the lists do not fit four stages and the image's own resolution."""
    lengths = {
        "strides": (strides, 5),
        "features_per_stage": (features_per_stage, 5),
        "depths": (depths, 4),
        "projection_sizes": (projection_sizes, 4),
    }
    for name, (values, length) in lengths.items():
        if len(values) != length:
            raise ValueError(f"UNETR++: {name} must have {length} entries, got {list(values)}.")
    if any(len(stride) != 3 for stride in strides) or set(strides[0]) != {1}:
        raise ValueError(f"UNETR++: strides must be triples, the first [1, 1, 1], got {[list(s) for s in strides]}.")
    if any(width % num_heads or width % 2 for width in features_per_stage[1:]):
        raise ValueError(
            f"UNETR++: features_per_stage from the second on must be even and multiples "
            f"of num_heads ({num_heads}), got {list(features_per_stage)}."
        )
