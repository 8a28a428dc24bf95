"""How many directions an encoder's features span: features that collapsed leave step 2 little to choose from.

The effective rank is the exponential of the entropy of the features' normalised singular values (Roy & Vetterli, EUSIPCO
2007; RankMe, Garrido et al., ICML 2023, arXiv 2210.02885, uses it to tell good self-supervised features without labels).
Here every voxel of a level is one feature vector, and the mean is taken off first.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor


@dataclass(frozen=True)
class FeatureMoments:
    """Sums over feature vectors of one level, from which their covariance follows; sums of parts add up.

    Attributes:
        count: how many vectors.
        total: (C,), float64, on the CPU.
        products: (C, C), float64, on the CPU.
    """

    count: int
    total: Tensor
    products: Tensor

    @classmethod
    def of(cls, features: Tensor) -> FeatureMoments:
        """Of a level's features (N, C, D, H, W); sample by sample, since the first level's are large."""
        precision = torch.float32 if features.device.type == "mps" else torch.float64
        return add(cls._of_sample(sample.flatten(1).to(precision)) for sample in features)

    @classmethod
    def _of_sample(cls, vectors: Tensor) -> FeatureMoments:
        return cls(vectors.shape[1], vectors.sum(1).cpu().double(), (vectors @ vectors.T).cpu().double())

    def __add__(self, other: FeatureMoments) -> FeatureMoments:
        return FeatureMoments(self.count + other.count, self.total + other.total, self.products + other.products)

    @property
    def channels(self) -> int:
        """C, the most that the rank can be."""
        return len(self.total)

    def effective_rank(self) -> float:
        """From 1, where all features lie on a line, to C, where they spread alike; 0 where they do not differ at all.

        NaN where a feature is not finite, as in mixed precision one may overflow.
        """
        if not self.products.isfinite().all():
            return float("nan")
        mean = self.total / self.count
        covariance = self.products / self.count - torch.outer(mean, mean)
        singular_values = torch.linalg.eigvalsh(covariance).clamp(min=0).sqrt()
        if singular_values.sum() <= 1e-6 * mean.norm():
            return 0.0
        shares = singular_values / singular_values.sum()
        return float(torch.special.entr(shares).sum().exp())


def add(parts: Iterable[FeatureMoments]) -> FeatureMoments:
    """The moments of all parts together; there must be one."""
    return reduce(operator.add, parts)


def add_levels(parts: Iterable[Sequence[FeatureMoments]]) -> list[FeatureMoments]:
    """Level by level, the moments of all parts together; empty without parts."""
    return [add(level) for level in zip(*parts, strict=True)]
