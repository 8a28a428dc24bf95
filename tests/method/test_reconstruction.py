"""What of a reconstruction counts, against plain loops over cells and voxels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.method.reconstruction import EPSILON, ReconstructionLoss, normalize_cells
from nnunetv2_lwi.method.transformation import MaskGrid, Transformation, TransformedBatch
from nnunetv2_lwi.planning.settings import MaskingSettings

PATCH = (7, 8, 5)
MASKING = MaskingSettings(ratio=0.5, patch_size=(3, 4, 2))


def transformed(patch: tuple[int, int, int] = PATCH, masking: MaskingSettings | None = MASKING) -> TransformedBatch:
    """Two channels of different scale; depth, height and width are not multiples of the cells."""
    volume = torch.randn(2, 2, *patch) * torch.tensor([1.0, 5.0]).view(1, 2, 1, 1, 1) + 9
    return Transformation(patch, 1, masking)(volume, torch.Generator().manual_seed(0))


def cells_of(grid: MaskGrid) -> list[tuple[slice, ...]]:
    """Every cell's box; the last of an axis may be cut."""
    starts = [range(0, edge, cell) for edge, cell in zip(grid.patch_size, grid.cell_size, strict=True)]
    d, h, w = grid.cell_size
    return [(slice(z, z + d), slice(y, y + h), slice(x, x + w)) for z in starts[0] for y in starts[1] for x in starts[2]]


def test_by_default_every_voxel_counts():
    batch = transformed()
    reconstruction = torch.randn_like(batch.shuffled)
    expected = (reconstruction - batch.shuffled).square().mean()
    assert ReconstructionLoss()([reconstruction], batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_of_hidden_voxels_alone_the_mean_is_over_what_was_zeroed():
    """The known wrong ones: the visible voxels instead, or a mean over all of them, which grows with the ratio."""
    batch = transformed()
    reconstruction = torch.randn_like(batch.shuffled)
    hidden = batch.masked == 0
    assert 0.3 < hidden.float().mean() < 0.7
    expected = (reconstruction - batch.shuffled).square()[hidden].mean()
    loss = ReconstructionLoss(hidden_only=True)
    assert loss([reconstruction], batch).item() == pytest.approx(expected.item(), rel=1e-5)
    elsewhere = torch.where(hidden, batch.shuffled, torch.full_like(batch.shuffled, 99.0))
    assert loss([elsewhere], batch).item() == 0


def test_where_nothing_is_masked_all_counts_whatever_is_asked():
    batch = transformed(masking=None)
    assert batch.mask is None
    reconstruction = torch.randn_like(batch.shuffled)
    expected = (reconstruction - batch.shuffled).square().mean()
    for loss in (ReconstructionLoss(hidden_only=True), ReconstructionLoss(normalize_cells=True)):
        assert loss([reconstruction], batch).item() == pytest.approx(expected.item(), rel=1e-5)


@given(
    patch=st.tuples(*[st.integers(1, 9)] * 3),
    cell=st.tuples(*[st.integers(1, 5)] * 3),
    seed=st.integers(0, 99),
)
def test_every_cell_and_channel_is_normalized_by_itself(patch, cell, seed):
    grid = MaskGrid.over(patch, cell, 1)
    volume = torch.randn(2, 2, *patch, generator=torch.Generator().manual_seed(seed)) * 3 + 2
    normalized = normalize_cells(volume, grid)
    for sample in range(2):
        for channel in range(2):
            for box in cells_of(grid):
                values = volume[(sample, channel, *box)]
                deviation = values.std(correction=0).clamp(min=EPSILON)
                expected = (values - values.mean()) / deviation
                torch.testing.assert_close(normalized[(sample, channel, *box)], expected, atol=1e-3, rtol=1e-3)


def test_a_cell_of_one_value_is_not_blown_up():
    grid = MaskGrid.over((4, 4, 4), (2, 2, 2), 1)
    assert normalize_cells(torch.full((1, 1, 4, 4, 4), 3.0) + 1e-6, grid).abs().max() < 1e-2


def test_at_lower_resolutions_the_mean_of_the_image_is_asked_for_with_half_the_weight():
    batch = transformed((8, 8, 8), MaskingSettings(ratio=0.5, patch_size=(2, 2, 2)))
    half = torch.nn.functional.avg_pool3d(batch.shuffled, 2)
    coarse = torch.nn.functional.avg_pool3d(batch.shuffled, 4)
    for loss in (ReconstructionLoss(), ReconstructionLoss(hidden_only=True)):
        assert loss([batch.shuffled, half, coarse], batch).item() == pytest.approx(0, abs=1e-10)
        assert loss([batch.shuffled, half + 1, coarse], batch).item() == pytest.approx(0.5 / 1.75, rel=1e-4)
        assert loss([batch.shuffled, half, coarse + 1], batch).item() == pytest.approx(0.25 / 1.75, rel=1e-4)


def test_gradients_reach_hidden_voxels_alone():
    batch = transformed()
    reconstruction = torch.randn_like(batch.shuffled, requires_grad=True)
    ReconstructionLoss(hidden_only=True, normalize_cells=True)([reconstruction], batch).backward()
    assert torch.equal(reconstruction.grad != 0, batch.masked == 0)


def test_a_reconstruction_of_another_shape_is_told_with_both_shapes():
    batch = TransformedBatch(torch.zeros(1), torch.zeros(3, 1, 2, 2, 2), torch.zeros(1))
    with pytest.raises(UserError, match=r"has the shape \[1, 2, 2, 1\] and the image \[1, 2, 2, 2\]: a network"):
        ReconstructionLoss()([torch.zeros(3, 1, 2, 2, 1)], batch)


def test_for_a_picture_a_reconstruction_has_the_image_s_units_and_what_was_visible_is_the_image():
    batch = transformed()
    assert batch.mask is not None
    hidden = batch.masked == 0
    perfect = normalize_cells(batch.shuffled, batch.mask.grid)
    loss = ReconstructionLoss(hidden_only=True, normalize_cells=True)
    torch.testing.assert_close(loss.as_image(perfect, batch), batch.shuffled, atol=1e-4, rtol=1e-4)
    noise = torch.randn_like(perfect)
    assert torch.equal(loss.as_image(noise, batch)[~hidden], batch.shuffled[~hidden])
    assert torch.equal(ReconstructionLoss(hidden_only=True).as_image(noise, batch)[hidden], noise[hidden])
    assert torch.equal(ReconstructionLoss().as_image(noise, batch), noise)
