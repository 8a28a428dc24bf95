"""Patch sizes that a network's strides allow, and errors that name the nearest one."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from torch import Tensor

Size = tuple[int, int, int]


def check_patch_size(network: str, patch_size: Sequence[int], stride: Sequence[int], fewest_tokens: int = 1) -> Size:
    """Return the patch size if its edges are multiples of the stride, else name the nearest that works.

    Args:
        network: the name that the message gives.
        patch_size: (D, H, W), depth first, as nnU-Net's plans have it.
        stride: total stride of the deepest features along each axis.
        fewest_tokens: how many positions the deepest features need (2 for instance normalisation).

    Raises:
        ValueError: they are not.
    """
    if len(patch_size) != 3:
        raise ValueError(f"{network} takes a patch of three edges (depth, height, width), got {list(patch_size)}.")
    nearest = nearest_patch_size(patch_size, stride, fewest_tokens)
    if tuple(patch_size) != nearest:
        few = f" and at least {fewest_tokens} of them in all" if fewest_tokens > 1 else ""
        raise ValueError(
            f"{network} needs a patch whose edges are multiples of {list(stride)}{few}, "
            f"got {list(patch_size)}. The nearest size that works is {list(nearest)}."
        )
    return nearest


def nearest_patch_size(patch_size: Sequence[int], stride: Sequence[int], fewest_tokens: int = 1) -> Size:
    """Round each edge to a multiple of its stride, halves up; deepen it if that leaves too few tokens."""
    depth, height, width = (max(1, floor(p / s + 0.5)) for p, s in zip(patch_size, stride, strict=True))
    depth = max(depth, -(-fewest_tokens // (height * width)))
    return depth * stride[0], height * stride[1], width * stride[2]


def check_input_size(network: str, x: Tensor, patch_size: Size) -> None:
    """Stop where a network that has one position embedding a token is given a patch of another size."""
    if tuple(x.shape[2:]) != patch_size:
        raise ValueError(
            f"{network} was built for patches of {list(patch_size)} but is given {list(x.shape[2:])}: "
            "patch_size in the plan's architecture must equal the configuration's patch_size."
        )
