"""The checks of this folder, against each fault that they are for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nnunetv2_lwi.method.transformation import Transformation, TransformedBatch, draw_cell_mask, shuffle_slabs
from tests.any_geometry.two_steps import Plan, check_batch

PLAN = Plan(
    {"patch_size": (12, 16, 16), "channels": 2},
    {"order_weight": 1.0, "num_subvolumes": 3, "masking": {"ratio": 0.5, "patch_size": [3, 4, 4]}},
)
VOLUME = torch.rand(2, 2, 12, 16, 16, generator=torch.Generator().manual_seed(0)) + 1
TRANSFORMATION = Transformation(PLAN.patch_size, PLAN.slabs, PLAN.settings.masking)
ORDER = torch.tensor([[1, 2, 0], [2, 0, 1]])
"""Neither is its own inverse."""


def make_batch(volume: Tensor) -> TransformedBatch:
    shuffled = shuffle_slabs(volume, ORDER)
    return TransformedBatch(zero_some(shuffled), shuffled, ORDER)


def zero_some(volume: Tensor, ratio: float = 0.5) -> Tensor:
    grid = TRANSFORMATION.grid
    masking = PLAN.settings.masking.__class__(ratio=ratio, patch_size=(3, 4, 4))
    return grid.zero(volume, draw_cell_mask(2, grid, masking, torch.Generator().manual_seed(1)))


def spoil(tensor: Tensor) -> Tensor:
    spoiled = tensor.clone()
    spoiled[1, 1, 5, 6, 7] += 1
    return spoiled


FAULTS: dict[str, Callable[[TransformedBatch], TransformedBatch]] = {
    "order is the inverse": lambda batch: batch._replace(order=batch.order.argsort(1)),
    "one order for all samples": lambda batch: batch._replace(order=batch.order[:1].expand(2, -1)),
    "a slab stands twice": lambda batch: batch._replace(order=torch.tensor([[1, 1, 0], [2, 0, 1]])),
    "a voxel of X' is another": lambda batch: batch._replace(shuffled=spoil(batch.shuffled)),
    "a voxel of X'' is another": lambda batch: batch._replace(masked=spoil(batch.masked)),
    "masked before the shuffle": lambda batch: batch._replace(masked=shuffle_slabs(zero_some(VOLUME), batch.order)),
    "a cell too few": lambda batch: batch._replace(masked=zero_some(batch.shuffled, 0.49)),
    "one channel is not masked": lambda batch: batch._replace(
        masked=torch.cat([batch.masked[:, :1], batch.shuffled[:, 1:]], dim=1)
    ),
}


def test_a_right_batch_passes() -> None:
    check_batch(PLAN, VOLUME, make_batch(VOLUME))


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told(fault: str) -> None:
    with pytest.raises(AssertionError):
        check_batch(PLAN, VOLUME, FAULTS[fault](make_batch(VOLUME)))
