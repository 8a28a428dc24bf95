"""Figures gathered from the ranks of a distributed training."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch import distributed as dist

from nnunetv2_lwi.errors import UserError


def is_distributed() -> bool:
    """Whether this process trains together with others."""
    return dist.is_available() and dist.is_initialized()


def is_first_rank() -> bool:
    """Also where nothing is distributed."""
    return not is_distributed() or dist.get_rank() == 0


def world_size() -> int:
    """How many ranks train together; 1 where nothing is distributed."""
    return dist.get_world_size() if is_distributed() else 1


def processes_here() -> int:
    """Of the training, how many share this machine; 1 where nothing is distributed. All ranks have to ask."""
    if not is_distributed():
        return 1
    if "LOCAL_WORLD_SIZE" in os.environ:
        return int(os.environ["LOCAL_WORLD_SIZE"])
    names: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(names, socket.gethostname())
    return names.count(socket.gethostname())


def all_agree(fine: bool) -> bool:
    """Whether every rank says so."""
    if not is_distributed():
        return fine
    said: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(said, fine)
    return all(said)


def require_same_on_all(what: str, value: Any) -> None:
    """Raises:
    UserError: not all ranks have the same.
    """
    if not is_distributed():
        return
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    if different := [rank for rank, other in enumerate(values) if other != values[0]]:
        raise UserError(
            f"The processes of this training do not have the same {what}: the first {values[0]}, process {different[0]} "
            f"{values[different[0]]}. A file system that shows files late may be the reason: run the same command again."
        )


def any_rank(asked: bool, group: dist.ProcessGroup) -> bool:
    """Whether any rank of a group says so, without a device."""
    flag = torch.tensor(int(asked))
    dist.all_reduce(flag, dist.ReduceOp.MAX, group)
    return bool(flag)


def mean_over_steps(outputs: Sequence[dict[str, Tensor]], only_finite: bool = False) -> tuple[dict[str, float], int]:
    """Average each scalar over an epoch's steps and, in a distributed training, over the ranks.

    The scalars stay on their device until here, so that no step waits for the device.

    Args:
        only_finite: leave steps out that have a scalar that is not; their mean is NaN where no step is left.

    Returns:
        The means, and the number of steps left out, of all ranks.
    """
    names = list(outputs[0])
    values = torch.stack([torch.stack([output[name].detach().float() for name in names]) for output in outputs])
    taken = values.isfinite().all(dim=1, keepdim=True) if only_finite else torch.ones_like(values[:, :1], dtype=torch.bool)
    sums = torch.where(taken, values, torch.zeros_like(values)).sum(dim=0)
    counts = torch.cat([sums, taken.sum().float()[None], (~taken).sum().float()[None]])
    if is_distributed():
        dist.all_reduce(counts)
    *totals, number, left_out = counts.tolist()
    return {name: total / number if number else float("nan") for name, total in zip(names, totals, strict=True)}, int(
        left_out
    )


def sum_over_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of an array over the ranks of a distributed training; elsewhere the array."""
    if not is_distributed():
        return values
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, values)
    return np.sum(gathered, axis=0)


def take_from_first_rank(network: nn.Module) -> None:
    """In a distributed training, the weights and buffers of the first rank in all: DistributedDataParallel did that once."""
    if is_distributed():
        for tensor in network.state_dict().values():
            dist.broadcast(tensor, 0)
