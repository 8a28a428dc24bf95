"""The effective rank of features, against numpy's singular values and features whose rank is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nnunetv2_lwi.method.feature_rank import FeatureMoments, add, add_levels

SHAPE = (2, 6, 4, 5, 3)
"""(N, C, D, H, W), no two edges alike."""


def features(seed: int = 0) -> torch.Tensor:
    """With a mean that is not zero, and channels that vary by different amounts and together."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(SHAPE[1], SHAPE[1], generator=generator)
    return torch.einsum("cd,ndxyz->ncxyz", mixing, torch.randn(SHAPE, generator=generator)) + 3


def by_numpy(volume: torch.Tensor) -> float:
    vectors = np.concatenate([sample.reshape(SHAPE[1], -1).T for sample in volume.numpy()]).astype(np.float64)
    values = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False)
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def test_it_is_that_of_the_centred_features_singular_values():
    volume = features()
    moments = FeatureMoments.of(volume)
    assert moments.count == 2 * 4 * 5 * 3 and moments.channels == 6
    assert moments.effective_rank() == pytest.approx(by_numpy(volume), rel=1e-6)


def test_moments_of_parts_add_up():
    volume = torch.cat([features(0), features(1)])
    parts = [FeatureMoments.of(part) for part in torch.split(volume, 1)]
    assert add(parts).effective_rank() == pytest.approx(by_numpy(volume), rel=1e-6)
    levels = add_levels([[parts[0], parts[1]], [parts[2], parts[3]]])
    assert [level.count for level in levels] == [2 * parts[0].count] * 2
    assert levels[0].effective_rank() == pytest.approx(by_numpy(volume[[0, 2]]), rel=1e-6)
    assert add_levels([]) == []


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_directions_of_equal_weight_are_counted(rank):
    values = torch.randn(rank, 3000, generator=torch.Generator().manual_seed(0))
    values -= values.mean(1, keepdim=True)
    equal = torch.linalg.svd(values, full_matrices=False).Vh
    directions = torch.linalg.qr(torch.randn(8, rank, generator=torch.Generator().manual_seed(1))).Q
    volume = (directions @ equal + 0.2).view(1, 8, 10, 20, 15)
    assert FeatureMoments.of(volume).effective_rank() == pytest.approx(rank, abs=0.01)


def test_features_that_do_not_differ_have_none():
    assert FeatureMoments.of(torch.full(SHAPE, 0.7)).effective_rank() == 0
    assert FeatureMoments.of(torch.zeros(SHAPE)).effective_rank() == 0


def test_small_features_are_features():
    """What counts is how they differ beside their mean, not how large they are."""
    small = 1e-8 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    assert FeatureMoments.of(small).effective_rank() == pytest.approx(FeatureMoments.of(1e8 * small).effective_rank())


def test_parts_of_other_levels_do_not_add_up():
    part = FeatureMoments.of(torch.randn(SHAPE))
    with pytest.raises(ValueError, match="shorter"):
        add_levels([[part, part], [part]])


def test_a_feature_that_overflowed_leaves_no_rank_and_ends_nothing():
    moments = FeatureMoments.of(torch.full((1, 4, 2, 2, 2), torch.inf))
    assert np.isnan(moments.effective_rank())
