"""Plans and data sets that hypothesis draws, through both trainers."""

from __future__ import annotations

import sys
from collections import Counter
from time import process_time

import pytest
import torch
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from nnunetv2_lwi.method.transformation import Transformation
from tests.any_geometry.drawn_plans import plans
from tests.any_geometry.two_steps import Plan, check_batch, run_two_steps

POSSIBLE_SHARE = 0.75


@pytest.mark.parametrize(("count", "derandomize"), [(20, True), pytest.param(500, False, marks=pytest.mark.slow)])
def test_drawn_plans(count: int, derandomize: bool) -> None:
    """The 20 are the same in every run; the 500 are new ones."""
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
    sys.stdout.write(f"{seen.total()} plans drawn: {dict(seen)}, {process_time() - began:.0f} s of a core\n")
    assert seen["possible"] >= POSSIBLE_SHARE * seen.total()


@settings(deadline=None)
@given(plans(), st.integers(0, 2**31))
def test_drawn_transformations(plan: Plan, seed: int) -> None:
    """The transformation of such plans by itself, on noise with zeros in it."""
    assume(plan.is_possible)
    generator = torch.Generator().manual_seed(seed)
    shape = (plan.options["batch_size"], plan.options["channels"], *plan.patch_size)
    volume = torch.randn(shape, generator=generator).relu()
    masking = plan.settings.masking if plan.settings.reconstructs else None
    check_batch(plan, volume, Transformation(plan.patch_size, plan.slabs, masking)(volume, generator))
