"""Losses that overflowed in float16: nnU-Net's gradient scaler skips such a step, so that it need not end a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from nnunetv2_lwi.training.machine.distributed import is_distributed


def mean_of_finite_steps(outputs: Sequence[dict[str, Tensor]]) -> tuple[dict[str, float], int]:
    """Average each scalar over the steps of an epoch whose scalars are all finite and, where distributed, over the ranks.

    Returns:
        The means, NaN where no step was finite, and the number of steps left out, of all ranks.
    """
    names = list(outputs[0])
    values = torch.stack([torch.stack([output[name].detach().float() for name in names]) for output in outputs])
    finite = values.isfinite().all(dim=1, keepdim=True)
    sums = torch.where(finite, values, torch.zeros_like(values)).sum(dim=0)
    counts = torch.cat([sums, finite.sum().float()[None], (~finite).sum().float()[None]])
    if is_distributed():
        dist.all_reduce(counts)
    *totals, taken, left_out = counts.tolist()
    return {name: total / taken if taken else float("nan") for name, total in zip(names, totals, strict=True)}, int(left_out)


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
