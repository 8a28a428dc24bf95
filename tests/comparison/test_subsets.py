"""Labelled cases: nested and seeded."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nnunetv2_lwi.comparison.subsets import draw_subset, parse_counts
from nnunetv2_lwi.errors import UserError

CASES = [f"case_{i:02d}" for i in range(20)]


def test_a_smaller_subset_lies_in_every_larger_one():
    for seed in range(5):
        subsets = [set(draw_subset(CASES, count, seed)) for count in range(1, 21)]
        assert [len(subset) for subset in subsets] == list(range(1, 21))
        assert all(small < large for small, large in pairwise(subsets))


def test_the_subset_depends_on_the_seed_and_not_on_the_order_of_the_cases():
    assert draw_subset(CASES, 8, 0) == draw_subset(CASES[::-1], 8, 0)
    assert len({tuple(draw_subset(CASES, 8, seed)) for seed in range(5)}) == 5


def test_counts():
    assert parse_counts("8,all,3", 20) == [8, 20, 3]


@pytest.mark.parametrize("text", ["0", "21", "8,8", "20,all", "eight", "", "-3", "2.5"])
def test_counts_that_are_not_possible(text):
    with pytest.raises(UserError, match="--cases"):
        parse_counts(text, 20)
