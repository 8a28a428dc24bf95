"""Paired differences between two arms, with an interval that covers cases and seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """A mean difference and its bootstrap interval."""

    mean: float
    low: float
    high: float


def paired_difference(arm: NDArray[np.float64], baseline: NDArray[np.float64], resamples: int = RESAMPLES) -> Difference:
    """Mean of arm minus baseline with a 95 % percentile interval, seeds and cases resampled with replacement.

    Args:
        arm: (seeds, cases), NaN where a score is not defined.
        baseline: the same seeds and cases.

    Raises:
        ValueError: shapes differ.
    """
    if arm.shape != baseline.shape:
        raise ValueError(f"arm has shape {arm.shape}, baseline {baseline.shape}")
    differences = arm - baseline
    seeds, cases = differences.shape
    random = np.random.default_rng(0)
    drawn_seeds = random.integers(0, seeds, (resamples, seeds))
    drawn_cases = random.integers(0, cases, (resamples, cases))
    means = mean_of_defined(differences[drawn_seeds[:, :, None], drawn_cases[:, None, :]].reshape(resamples, -1))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(means, (tail, 100 - tail)) if np.isfinite(means).any() else (np.nan, np.nan)
    return Difference(float(mean_of_defined(differences.reshape(1, -1))[0]), float(low), float(high))


def mean_of_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the last axis; NaN, without a warning, where there is nothing."""
    defined = np.isfinite(values)
    count = defined.sum(-1)
    total = np.where(defined, values, 0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
