"""The bootstrap interval of paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_lwi.comparison.statistics import paired_difference


def test_mean_and_interval_against_the_normal_approximation():
    random = np.random.default_rng(1)
    baseline = random.normal(0.7, 0.2, (1, 400))
    arm = baseline + random.normal(0.05, 0.1, (1, 400))
    result = paired_difference(arm, baseline)
    error = (arm - baseline).std(ddof=1) / 20
    assert result.mean == pytest.approx((arm - baseline).mean())
    assert result.low == pytest.approx(result.mean - 1.96 * error, abs=0.1 * error)
    assert result.high == pytest.approx(result.mean + 1.96 * error, abs=0.1 * error)


def test_a_difference_between_seeds_widens_the_interval():
    cases = np.random.default_rng(2).normal(0, 0.01, (4, 50))
    seeds = np.array([[-0.1], [0.1], [-0.2], [0.2]])
    narrow, wide = paired_difference(cases, np.zeros((4, 50))), paired_difference(cases + seeds, np.zeros((4, 50)))
    assert wide.high - wide.low > 10 * (narrow.high - narrow.low)


def test_it_is_paired():
    baseline = np.random.default_rng(3).uniform(0, 1, (3, 20))
    result = paired_difference(baseline + 0.01, baseline)
    assert (result.low, result.high) == pytest.approx((0.01, 0.01))


def test_undefined_scores_are_left_out():
    baseline = np.array([[0.5, np.nan, 0.5]])
    assert paired_difference(baseline + 0.1, baseline).mean == pytest.approx(0.1)
    assert np.isnan(paired_difference(np.full((1, 2), np.nan), np.zeros((1, 2))).mean)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        paired_difference(np.zeros((2, 3)), np.zeros((1, 3)))
