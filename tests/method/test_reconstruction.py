"""What of a reconstruction counts, at which resolution and with which weight."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.method.reconstruction import averaged_to, reconstruction_loss


def test_every_voxel_counts():
    shuffled, reconstruction = torch.randn(2, 3, 4, 6, 8), torch.randn(2, 3, 4, 6, 8)
    expected = (reconstruction - shuffled).square().mean()
    assert reconstruction_loss([reconstruction], shuffled).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_coarse_voxel_is_the_mean_of_those_that_it_covers():
    volume = torch.randn(2, 2, 4, 6, 8)
    coarse = averaged_to(volume, (4, 3, 2))
    for z in range(4):
        for y in range(3):
            for x in range(2):
                expected = volume[:, :, z, 2 * y : 2 * y + 2, 4 * x : 4 * x + 4].mean((2, 3))
                torch.testing.assert_close(coarse[:, :, z, y, x], expected)
    assert averaged_to(volume, (4, 6, 8)) is volume


def test_sizes_that_divide_need_nothing_that_torch_lacks_on_mps():
    """There it has ``avg_pool3d`` for volumes, and no ``adaptive_avg_pool3d``."""
    volume = torch.arange(4.0 * 6 * 8).reshape(1, 1, 4, 6, 8)
    with torch.profiler.profile() as profile:
        coarse = averaged_to(volume, (2, 3, 8))
    assert torch.equal(coarse, functional.interpolate(volume, (2, 3, 8), mode="area"))
    assert not [event.key for event in profile.key_averages() if "adaptive" in event.key]


def test_each_resolution_has_half_the_weight_of_the_one_above():
    """Known wrong: a target resampled by picking voxels, or weights that do not sum to 1."""
    shuffled = torch.randn(1, 2, 8, 8, 8)
    half, quarter = averaged_to(shuffled, (4, 4, 4)), averaged_to(shuffled, (2, 2, 2))
    assert reconstruction_loss([shuffled, half, quarter], shuffled).item() == pytest.approx(0, abs=1e-10)
    assert reconstruction_loss([shuffled + 1, half, quarter], shuffled).item() == pytest.approx(1 / 1.75, rel=1e-4)
    assert reconstruction_loss([shuffled, half + 1, quarter], shuffled).item() == pytest.approx(0.5 / 1.75, rel=1e-4)
    assert reconstruction_loss([shuffled, half, quarter + 1], shuffled).item() == pytest.approx(0.25 / 1.75, rel=1e-4)


def test_a_reconstruction_of_another_shape_is_told_with_both_shapes():
    with pytest.raises(UserError, match=r"has the shape \[1, 2, 2, 1\] and the image \[1, 2, 2, 2\]: a network"):
        reconstruction_loss([torch.zeros(3, 1, 2, 2, 1)], torch.zeros(3, 1, 2, 2, 2))
