"""What step 1 is about to train, in lines for its log."""

from __future__ import annotations

from collections.abc import Iterator

from nnunetv2_lwi.errors import shortened
from nnunetv2_lwi.method.pretext_network import PretextNetwork
from nnunetv2_lwi.method.transformation import MaskGrid, Transformation, count_masked
from nnunetv2_lwi.planning.settings import LWISettings, MaskingSettings


def describe_step1(settings: LWISettings, pretext: PretextNetwork, transformation: Transformation) -> Iterator[str]:
    """Order prediction and its levels, reconstruction and its cells, and what is not trained."""
    if settings.predicts_order:
        yield from _describe_order(pretext, transformation.patch_size[0])
    else:
        yield "No order prediction (lwi.order_weight is 0): nothing is shuffled, there are no heads."
    if transformation.grid is not None:
        yield from _describe_masking(settings.masking, transformation.grid)
        if pretext.at_every_output:
            yield "The image is reconstructed at every resolution at which the network has an output."
    else:
        yield (
            "No reconstruction (lwi.reconstruction_weight is 0): nothing is masked, the decoder is not trained and starts "
            "step 2 random."
        )
    untrained = pretext.untrained_keys()
    if untrained:
        yield f"Not trained in step 1: {len(untrained)} tensors ({shortened(untrained)})."


def _describe_order(pretext: PretextNetwork, depth: int) -> Iterator[str]:
    heads = [level.index for level in pretext.order_heads.levels]
    yield (
        f"Order prediction: {pretext.slabs} slabs of {depth // pretext.slabs} slices, chance {pretext.chance:.3f}, heads at "
        f"levels {heads}."
    )
    for level in pretext.levels_without_head():
        undivided = f"its depth {level.depth} is no multiple of {pretext.slabs}"
        reason = "network or plan leave it out" if level.can_order(pretext.slabs) else undivided
        yield f"No order head at level {level.index}: {reason}."


def _describe_masking(masking: MaskingSettings, grid: MaskGrid) -> Iterator[str]:
    cells = f"{grid.cells} cells of {grid.cell_size} voxels"
    yield f"Reconstruction: {masking.strategy} masking of {masking.ratio:.0%} of {cells}."
    masked, drawn = count_masked(grid, masking)
    if masking.ratio > 0 and masked in (0, drawn):
        kind = "columns of cells" if masking.strategy == "tube" else "cells"
        yield (
            f"WARNING: {masked} of {drawn} {kind} are masked in every sample, so that there is nothing to fill in from what "
            "is around: make lwi.masking.patch_size smaller."
        )
