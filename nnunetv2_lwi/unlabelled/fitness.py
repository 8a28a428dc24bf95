"""Whether a scan can be used at all, looked at as it was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FAR_OFF = 8.0
"""How many times coarser or finer than the data set's a scan's spacing may be; labelled data sets span less."""


def problem_of(
    image: NDArray[Any], spacing: Sequence[float], channels: int, usual_spacing: Sequence[float] | None
) -> str | None:
    """Why an image cannot be used, in words; None where it can.

    Args:
        image: (C, D, H, W) as the plan's reader gives it.
        spacing: of its spatial axes, in mm.
        channels: C of the data set.
        usual_spacing: the data set's median, in the same order of the axes; None where it is not known.
    """
    if image.ndim != 4 or image.shape[0] != channels:
        return f"it has {image.shape[0]} channels where the data set has {channels}"
    if min(image.shape[1:]) < 2:
        return f"it is not 3D: {' x '.join(map(str, image.shape[1:]))} voxels"
    if not np.isfinite(image).all():
        return "it has NaN or infinite voxels"
    constant = [str(channel) for channel in range(channels) if image[channel].min() == image[channel].max()]
    if constant:
        return f"every voxel of channel {', '.join(constant)} is the same"
    return _problem_of_spacing(spacing, usual_spacing)


def _problem_of_spacing(spacing: Sequence[float], usual: Sequence[float] | None) -> str | None:
    if not all(np.isfinite(edge) and edge > 0 for edge in spacing):
        return f"its spacing is {_edges(spacing)}"
    if usual is None:
        return None
    ratios = [edge / other for edge, other in zip(spacing, usual, strict=True)]
    if max(max(ratio, 1 / ratio) for ratio in ratios) <= FAR_OFF:
        return None
    return f"its spacing is {_edges(spacing)} mm, far from the data set's {_edges(usual)}"


def _edges(spacing: Sequence[float]) -> str:
    return " x ".join(f"{edge:g}" for edge in spacing)
