"""How well features tell classes apart linearly: a ridge regression on frozen features (Alain & Bengio, arXiv 1610.01644).

Step 1's losses do not say what its features are worth to a segmentation; a probe does, in minutes and without training the
network. Its labels are never used to train one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import interpolate

BACKGROUND_PER_FOREGROUND = 3
"""Voxels of the background that are drawn for one of the foreground."""
PENALTY = 1e-3
"""Of the ridge, times the number of voxels; features have unit variance."""


def at_size_of(labels: Tensor, features: Tensor) -> Tensor:
    """Labels (N, 1, D, H, W) at the size of features (N, E, D', H', W'), by nearest neighbour, as (N, D', H', W')."""
    return interpolate(labels.float(), features.shape[2:], mode="nearest-exact")[:, 0].long()


def draw_voxels(labels: Tensor, classes: Sequence[int], most: int, generator: torch.Generator) -> Tensor:
    """Indices of up to ``most`` voxels of each class, and of some of the background, in labels (V,)."""
    drawn = []
    for label in classes:
        places = (labels == label).nonzero().flatten()
        drawn.append(places[torch.randperm(len(places), generator=generator)[:most]])
    background = (labels == 0).nonzero().flatten()
    count = BACKGROUND_PER_FOREGROUND * max(1, sum(map(len, drawn)))
    return torch.cat([*drawn, background[torch.randperm(len(background), generator=generator)[:count]]])


@dataclass(frozen=True)
class Readout:
    """A linear map from features to classes.

    Attributes:
        mean: (E,), of the features that it was fitted to.
        deviation: (E,).
        weights: (E + 1, K + 1); the last row is the bias, the first column the background's.
        classes: K labels.
    """

    mean: Tensor
    deviation: Tensor
    weights: Tensor
    classes: tuple[int, ...]

    def scores(self, features: Tensor) -> Tensor:
        """Features (V, E) to one score of the background and of each class, (V, K + 1)."""
        return self._standardised(features) @ self.weights

    def _standardised(self, features: Tensor) -> Tensor:
        return _with_bias((features.double() - self.mean) / self.deviation)

    def __call__(self, features: Tensor) -> Tensor:
        """Features (V, E) to labels (V,)."""
        return torch.tensor([0, *self.classes])[self.scores(features).argmax(1)]

    def ranks_right(self, features: Tensor, labels: Tensor) -> dict[int, float]:
        """By class the area under its ROC curve: how often a voxel of the class scores higher for it than another voxel.

        Unlike the labels' Dice it does not depend on where the scores are cut, which with many classes hides all but the
        largest. NaN where labels (V,) have none of the class, or nothing else, and where there was none to fit to.
        """
        x, areas = self._standardised(features), {}
        for column, label in enumerate(self.classes, start=1):
            positive = labels == label
            both = 0 < int(positive.sum()) < len(labels) and bool(self.weights[:, column].any())
            areas[label] = float(roc_auc_score(positive.numpy(), (x @ self.weights[:, column]).numpy())) if both else nan
        return areas


def fit(features: Tensor, labels: Tensor, classes: Sequence[int]) -> Readout:
    """Ridge regression of one-hot classes.

    Args:
        features: (V, E).
        labels: (V,), of the classes or 0.
    """
    mean, deviation = features.double().mean(0), features.double().std(0).clamp(min=1e-6)
    x = _with_bias((features.double() - mean) / deviation)
    index = torch.zeros(int(max(classes)) + 1, dtype=torch.long)
    index[list(classes)] = torch.arange(1, len(classes) + 1)
    sums = x.new_zeros(len(classes) + 1, x.shape[1]).index_add_(0, index[labels], x)  # one-hot classes, times x
    penalty = PENALTY * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    penalty[-1, -1] = 0
    return Readout(mean, deviation, torch.linalg.solve(x.T @ x + penalty, sums.T), tuple(classes))


def _with_bias(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
