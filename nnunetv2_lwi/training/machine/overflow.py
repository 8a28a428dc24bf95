"""Losses that overflowed in float16: nnU-Net's gradient scaler skips such a step, so that it need not end a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def with_finite_losses(outputs: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """An epoch's outputs of nnU-Net's validation steps; losses that are not finite give way to the mean of those that are.

    Returns:
        The outputs, as they were where no loss is finite, and the number of losses that gave way.
    """
    losses = np.array([float(output["loss"]) for output in outputs])
    finite = np.isfinite(losses)
    if finite.all() or not finite.any():
        return list(outputs), 0
    mean = np.array(losses[finite].mean())
    mended = [output if fine else {**output, "loss": mean} for output, fine in zip(outputs, finite, strict=True)]
    return mended, int((~finite).sum())
