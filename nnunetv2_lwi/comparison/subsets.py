"""Which training cases count as labelled: nested, seeded subsets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnunetv2_lwi.errors import UserError


def draw_subset(cases: Sequence[str], count: int, seed: int) -> list[str]:
    """The first ``count`` of a seeded permutation, so that a smaller subset lies within every larger one."""
    order = np.random.default_rng(seed).permutation(len(cases))
    ordered = sorted(cases)
    return sorted(ordered[index] for index in order[:count])


def parse_counts(text: str, available: int) -> list[int]:
    """``8,36,all`` as numbers of cases, in the order given.

    Raises:
        UserError: not a number from 1 to the number of training cases, or a number twice.
    """
    counts = []
    for word in text.split(","):
        count = available if word.strip() == "all" else int(word) if word.strip().isdecimal() else 0
        if not 1 <= count <= available:
            raise UserError(
                f"--cases {text}: {word!r} must be all, or a number from 1 to {available}, the fold's training cases."
            )
        counts.append(count)
    if len(set(counts)) < len(counts):
        raise UserError(f"--cases {text} names {available if 'all' in text else 'a number'} twice.")
    return counts
