"""Shuffle and mask against plain loops, and against the faults of the reference implementation."""

from __future__ import annotations

from itertools import permutations
from math import ceil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nnunetv2_lwi.method.transformation import (
    MaskGrid,
    Transformation,
    draw_cell_mask,
    draw_order,
    shuffle_slabs,
    unshuffle_slabs,
)
from nnunetv2_lwi.planning.settings import MaskingSettings


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shuffle_by_loop(volume: Tensor, order: Tensor) -> Tensor:
    shuffled = torch.empty_like(volume)
    thickness = volume.shape[2] // order.shape[1]
    for n in range(len(volume)):
        for position, slab in enumerate(order[n].tolist()):
            for z in range(thickness):
                shuffled[n, :, position * thickness + z] = volume[n, :, slab * thickness + z]
    return shuffled


@given(
    samples=st.integers(1, 4),
    channels=st.integers(1, 3),
    slabs=st.integers(1, 6),
    thickness=st.integers(1, 4),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_shuffle_is_the_plain_loop_and_order_undoes_it(samples, channels, slabs, thickness, height, width, seed):
    volume = torch.randn(samples, channels, slabs * thickness, height, width, generator=generator(seed))
    order = draw_order(samples, slabs, generator(seed))
    shuffled = shuffle_slabs(volume, order)
    assert torch.equal(shuffled, shuffle_by_loop(volume, order))
    assert torch.equal(unshuffle_slabs(shuffled, order), volume)


def test_order_names_the_original_slab_at_each_position():
    """The inverse convention would pass a round trip, but not this."""
    volume = torch.arange(6.0).view(1, 1, 6, 1, 1)
    order = torch.tensor([[1, 2, 0]])
    assert shuffle_slabs(volume, order).flatten().tolist() == [2, 3, 4, 5, 0, 1]


def test_shuffle_accepts_a_volume_that_is_not_contiguous():
    volume = torch.randn(2, 4, 5, 6, 3).permute(0, 4, 1, 2, 3)
    order = draw_order(2, 2, generator())
    assert torch.equal(shuffle_slabs(volume, order), shuffle_by_loop(volume, order))


def test_every_permutation_is_drawn_equally_often():
    draws = 6000
    orders = [tuple(row) for row in draw_order(draws, 3, generator()).tolist()]
    for permutation in permutations(range(3)):
        assert orders.count(permutation) == pytest.approx(draws / 6, rel=0.15)


def test_permutations_and_masks_differ_within_a_batch():
    transformation = Transformation((8, 8, 8), 4, MaskingSettings(patch_size=(2, 2, 2)))
    batch = transformation(torch.ones(16, 1, 8, 8, 8), generator())
    assert len({tuple(row) for row in batch.order.tolist()}) > 8
    assert len({tuple(row) for row in (batch.masked == 0).flatten(1).int().tolist()}) == 16


def mask_by_loop(cell_mask: Tensor, grid: MaskGrid) -> Tensor:
    mask = torch.zeros(len(cell_mask), 1, *grid.patch_size, dtype=torch.bool)
    for n, z, y, x in torch.cartesian_prod(*[torch.arange(edge) for edge in mask.squeeze(1).shape]).tolist():
        cell = [c // size for c, size in zip((z, y, x), grid.cell_size, strict=True)]
        mask[n, 0, z, y, x] = cell_mask[(n, *cell)]
    return mask


@given(
    patch=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    slabs=st.integers(1, 3),
    mask_patch=st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7)),
    ratio=st.floats(0, 0.99),
    strategy=st.sampled_from(["random", "tube"]),
)
def test_mask_covers_exactly_the_drawn_cells(patch, slabs, mask_patch, ratio, strategy):
    patch = (patch[0] * slabs, *patch[1:])
    grid = MaskGrid.over(patch, mask_patch, slabs)
    caps = (patch[0] // slabs, *patch[1:])
    assert grid.cell_size[0] <= caps[0]
    assert grid.cells == tuple(ceil(p / min(m, cap)) for p, m, cap in zip(patch, mask_patch, caps, strict=True))
    cells = draw_cell_mask(2, grid, MaskingSettings(strategy, ratio, mask_patch), generator())
    if strategy == "tube":
        assert all(torch.equal(cells[:, 0], layer) for layer in cells.unbind(1))
        cells_drawn = cells[:, 0]
    else:
        cells_drawn = cells
    assert cells_drawn.flatten(1).sum(1).tolist() == [round(ratio * cells_drawn[0].numel())] * 2
    volume = torch.rand(2, 3, *patch, generator=generator()) + 1
    assert torch.equal(grid.zero(volume, cells), volume.masked_fill(mask_by_loop(cells, grid), 0))


def test_every_cell_is_masked_equally_often():
    grid = MaskGrid((4, 4, 4), (2, 2, 2))
    share = draw_cell_mask(4000, grid, MaskingSettings(ratio=0.25), generator()).float().mean(0)
    assert torch.allclose(share, torch.full_like(share, 0.25), atol=0.03)


def test_the_mask_is_laid_over_the_shuffled_volume():
    """Masks drawn before the shuffle would travel with the slabs: they would not stand on the grid of X'.

    Mask patches as thick as 3/4 of a slab: laid over X', their depth borders lie on the grid that starts at slice 0 of X'.
    """
    transformation = Transformation((12, 4, 4), 3, MaskingSettings(ratio=0.5, patch_size=(3, 4, 4)))
    batch = transformation(torch.rand(64, 2, 12, 4, 4, generator=generator()) + 1, generator())
    masked = (batch.masked == 0)[:, 0, :, 0, 0]
    assert torch.equal(masked.view(64, 4, 3).all(-1), masked.view(64, 4, 3).any(-1))
    assert torch.equal(batch.masked[batch.masked != 0], batch.shuffled[batch.masked != 0])


def test_the_same_cells_are_masked_in_every_channel():
    batch = Transformation((8, 6, 5), 2, MaskingSettings(patch_size=(3, 2, 2)))(torch.ones(4, 3, 8, 6, 5), generator())
    zero = batch.masked == 0
    assert zero.any() and torch.equal(zero[:, 0], zero[:, 1]) and torch.equal(zero[:, 0], zero[:, 2])


def test_the_input_is_left_as_it_is():
    volume = torch.randn(2, 1, 8, 4, 4)
    before = volume.clone()
    Transformation((8, 4, 4), 4, MaskingSettings())(volume, generator())
    assert torch.equal(volume, before)


@pytest.mark.parametrize("masking", [MaskingSettings(patch_size=(3, 2, 2)), None])
@pytest.mark.parametrize("slabs", [1, 4])
def test_with_overwrite_the_same_comes_out_in_less_memory(slabs, masking):
    """What is not moved is its own target, and must stay."""
    volume = torch.randn(2, 3, 8, 5, 4)
    transformation = Transformation((8, 5, 4), slabs, masking)
    expected = transformation(volume.clone(), generator())
    batch = transformation(volume, generator(), overwrite=True)
    for actual, wanted in zip(batch[:3], expected[:3], strict=True):
        assert torch.equal(actual, wanted)
    assert batch.shuffled.data_ptr() != batch.masked.data_ptr() or masking is None
    assert (batch.masked.data_ptr() == volume.data_ptr()) == (
        (slabs > 1 and masking is not None) or (slabs == 1 and masking is None)
    )


def test_an_order_and_a_mask_are_all_that_is_drawn():
    """A resumed training goes on with the generator's state alone."""
    volume = torch.rand(3, 1, 8, 4, 4)
    drawn = generator()
    Transformation((8, 4, 4), 4, MaskingSettings(patch_size=(2, 2, 2)))(volume, drawn)
    expected = generator()
    torch.rand(3, 4, generator=expected)
    torch.rand(3, 16, generator=expected)
    assert torch.equal(drawn.get_state(), expected.get_state())


class NoCopyInTheBackground(TorchFunctionMode):
    """A device that is not CUDA may read the source of such a copy after it was freed."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is Tensor.to:
            assert not kwargs.get("non_blocking")
            self.copied = True
        return function(*args, **kwargs)


def test_order_and_mask_are_copied_at_once_to_any_device_but_cuda():
    volume = torch.zeros(2, 1, 8, 8, 8, device="meta")
    with NoCopyInTheBackground() as mode:
        Transformation((8, 8, 8), 4, MaskingSettings())(volume, torch.Generator())
    assert mode.copied


def test_without_order_nothing_moves_and_without_masking_nothing_is_lost():
    volume = torch.randn(3, 2, 8, 4, 4)
    unmoved = Transformation((8, 4, 4), 1, MaskingSettings(patch_size=(2, 2, 2)))(volume, generator())
    assert torch.equal(unmoved.shuffled, volume) and (unmoved.masked == 0).any()
    unmasked = Transformation((8, 4, 4), 4, None)(volume, generator())
    assert torch.equal(unmasked.masked, unmasked.shuffled) and not torch.equal(unmasked.shuffled, volume)


@pytest.mark.parametrize("slabs", [2, 4])
def test_two_slabs_are_shuffled_as_any_number(slabs):
    volume = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(64, 1, 8, 2, 2)
    batch = Transformation((8, 2, 2), slabs, None)(volume, generator())
    expected = shuffle_slabs(volume, batch.order)
    assert torch.equal(batch.shuffled, expected) and not torch.equal(batch.shuffled, volume)
