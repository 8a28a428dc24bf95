"""Where tokens stand: with all exchange between tokens taken out, each position sees its own part of the image alone.

What is left of an encoder is its patch embedding, its downsampling and the arrangement of its tokens, so that these
are exact where a trained encoder would leave only a tendency.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_lwi.method.pretext_network import PretextNetwork
from nnunetv2_lwi.networks import UNETR, Primus, SwinUNETR, UNETRPlusPlus
from nnunetv2_lwi.networks.epa import EPABlock
from nnunetv2_lwi.planning.settings import LWISettings

CHANNELS = 2
SLABS = 3
DEPTH_AND_WIDTH_IN_SLABS = {
    UNETR: [96, 16, 48],
    SwinUNETR: [96, 32, 192],
    UNETRPlusPlus: [48, 32, 96],
    Primus: [48, 8, 24],
}
"""Patches on which slabs along the width would do as well; each network has levels with several positions a slab."""


class PassOn(nn.Module):
    """In place of Primus's transformer."""

    def forward(self, tokens: Tensor) -> tuple[Tensor, None]:
        return tokens, None


def isolate_unetr(encoder: Any) -> None:
    encoder.vit.blocks = nn.ModuleList(nn.Identity() for _ in encoder.vit.blocks)


def isolate_swin(encoder: Any) -> None:
    """Stages without attention still merge patches."""
    for stages in (encoder.swin.layers1, encoder.swin.layers2, encoder.swin.layers3, encoder.swin.layers4):
        stages[0].blocks = nn.ModuleList()


def isolate_unetr_pp(encoder: Any) -> None:
    """Blocks add nothing to their tokens; statistics over the volume are not taken."""
    for downsampling in encoder.downsamplings:
        downsampling[1] = nn.Identity()
    for block in encoder.modules():
        if isinstance(block, EPABlock):
            nn.init.zeros_(block.attention_scale)
            nn.init.zeros_(block.convolutions[-1].weight)


def isolate_primus(encoder: Any) -> None:
    encoder.eva = PassOn()


ISOLATE = {UNETR: isolate_unetr, SwinUNETR: isolate_swin, UNETRPlusPlus: isolate_unetr_pp, Primus: isolate_primus}


def redraw(sample: Tensor, position: list[int], grid: torch.Size) -> None:
    """Draw anew what lies under one position of a grid over a sample (C, D, H, W)."""
    for axis, (index, edge) in enumerate(zip(position, grid, strict=True), start=1):
        stride = sample.shape[axis] // edge
        sample = sample.narrow(axis, index * stride, stride)
    sample.normal_()


def test_a_position_sees_its_own_part_of_the_image_alone_at_every_level(small):
    encoder, x = small.build(CHANNELS).encoder.eval(), small.batch(CHANNELS)
    ISOLATE[small.network_class](encoder)
    with torch.no_grad():
        features = encoder(x)
        for level in small.network_class.order_levels:
            grid = features[level].shape[2:]
            changed = x.clone()
            positions = [[int(torch.randint(edge, ())) for edge in grid] for _ in changed]
            for sample, position in zip(changed, positions, strict=True):
                redraw(sample, position, grid)
            touched = (encoder(changed)[level] != features[level]).any(dim=1)
            assert touched.nonzero().tolist() == [[n, *position] for n, position in enumerate(positions)]


def test_logits_of_a_position_see_its_slab_of_the_image_alone_at_every_level(small):
    patch_size = DEPTH_AND_WIDTH_IN_SLABS[small.network_class]
    small = replace(small, arch_kwargs=small.arch_kwargs | {"patch_size": patch_size})
    settings = LWISettings(num_subvolumes=SLABS)
    pretext = PretextNetwork.around(small.build(CHANNELS, CHANNELS), settings, CHANNELS, patch_size).eval()
    ISOLATE[small.network_class](pretext.network.encoder)
    image = small.batch(CHANNELS)[:1].requires_grad_()
    all_logits = pretext.order_heads(pretext.network.encoder(image))
    assert len(all_logits) == len(small.network_class.order_levels)
    for logits in all_logits:
        for position in range(SLABS):
            (gradient,) = torch.autograd.grad(logits[:, position].square().sum(), image, retain_graph=True)
            touched = gradient.abs().sum((0, 1, 3, 4)).unflatten(0, (SLABS, -1)) > 0
            assert touched.all(1).tolist() == touched.any(1).tolist() == [slab == position for slab in range(SLABS)]
