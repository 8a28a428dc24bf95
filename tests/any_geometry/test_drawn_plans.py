"""Plans and data sets that hypothesis draws, through both trainers."""

from __future__ import annotations

from collections import Counter
from time import process_time

import pytest
from hypothesis import HealthCheck, event, given, settings

from tests.any_geometry.drawn_plans import plans
from tests.any_geometry.two_steps import Plan, run_two_steps

POSSIBLE_SHARE = 0.75


@pytest.mark.parametrize(("count", "derandomize"), [(60, True), pytest.param(500, False, marks=pytest.mark.slow)])
def test_drawn_plans(count: int, derandomize: bool) -> None:
    """The 60 are the same in every run; the 500 are new ones."""
    seen: Counter[str] = Counter()

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=derandomize,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(plans())
    def draw(plan: Plan) -> None:
        outcome = "possible" if run_two_steps(plan) else "refused"
        event(outcome)
        seen[outcome] += 1

    began = process_time()
    draw()
    print(f"{seen.total()} plans drawn: {dict(seen)}, {process_time() - began:.0f} s of a core")
    assert seen["possible"] >= POSSIBLE_SHARE * seen.total()
