"""Patches of a whole case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window
from torch import Tensor


def tile(image: Tensor, patch_size: Sequence[int]) -> list[Tensor]:
    """Patches (C, D, H, W) that cover an image (C, ...) as nnU-Net's sliding window would, side by side; views of it.

    An image smaller than the patch is padded with zeros on both sides, as nnU-Net's loader does.
    """
    padded = pad_nd_image(image, patch_size, "constant", {"value": 0}, False)
    steps = compute_steps_for_sliding_window(tuple(padded.shape[1:]), tuple(patch_size), 1.0)
    depth, height, width = patch_size
    return [padded[:, z : z + depth, y : y + height, x : x + width] for z, y, x in product(*steps)]


def batches(patches: Sequence[Tensor], batch_size: int) -> Iterator[Tensor]:
    """The patches as batches (N, C, D, H, W), one after the other in memory of its own; the last may be smaller."""
    for start in range(0, len(patches), batch_size):
        yield torch.stack(list(patches[start : start + batch_size]))
