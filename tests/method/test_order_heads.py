"""Heads that see which slab is where: exact gradients, and a loop as oracle for the pooling."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nnunetv2_lwi.method.levels import Level
from nnunetv2_lwi.method.order_heads import OrderHeads, pool_slabs


@given(slabs=st.integers(1, 6), group=st.integers(1, 4), height=st.integers(1, 5), width=st.integers(1, 5))
def test_pooling_is_the_plain_loop(slabs, group, height, width):
    features = torch.randn(2, 3, slabs * group, height, width)
    pooled = pool_slabs(features, slabs)
    assert pooled.shape == (2, slabs, 3)
    for n in range(2):
        for slab in range(slabs):
            for e in range(3):
                mean = features[n, e, group * slab : group * (slab + 1)].mean().item()
                assert pooled[n, slab, e] == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_logits_of_a_position_depend_on_its_slab_alone_at_every_level(kind):
    """Heads that average over depth, or group along another axis, fail this on a patch that is not cubic."""
    slabs, depths = 3, (12, 6, 3)
    levels = [Level(index, 4 + index, depth) for index, depth in enumerate(depths)]
    skips = [torch.randn(2, 4 + i, depth, 10 // (i + 1), 7, requires_grad=True) for i, depth in enumerate(depths)]
    for level, logits in zip(levels, OrderHeads(levels, slabs, kind)(skips), strict=True):
        assert logits.shape == (2, slabs, slabs)
        group = level.depth // slabs
        for position in range(slabs):
            (gradient,) = torch.autograd.grad(logits[:, position].square().sum(), skips[level.index], retain_graph=True)
            touched = gradient.abs().sum((0, 1, 3, 4)) > 0
            expected = torch.zeros(level.depth, dtype=torch.bool)
            expected[position * group : (position + 1) * group] = True
            assert torch.equal(touched, expected)


def test_heads_read_the_level_they_are_for():
    levels = [Level(2, 5, 4)]
    skips = [torch.full((1, 1, 8, 2, 2), torch.nan), torch.full((1, 3, 8, 2, 2), torch.nan), torch.randn(1, 5, 4, 2, 2)]
    (logits,) = OrderHeads(levels, 2)(skips)
    assert torch.isfinite(logits).all()


def test_without_levels_there_are_no_parameters():
    assert list(OrderHeads([], 1).parameters()) == [] and OrderHeads([], 1)([torch.zeros(1, 1, 2, 2, 2)]) == []


def test_the_hidden_layer_is_as_wide_as_the_features():
    shapes = [tuple(weight.shape) for weight in OrderHeads([Level(0, 6, 2)], 2, "mlp").parameters()]
    assert shapes == [(6, 6), (6,), (2, 6), (2,)]
    assert [tuple(w.shape) for w in OrderHeads([Level(0, 6, 2)], 2, "linear").parameters()] == [(2, 6), (2,)]


@pytest.mark.parametrize(("kind", "is_linear"), [("linear", True), ("mlp", False)])
def test_a_head_with_a_hidden_layer_is_not_linear_and_the_papers_is(kind, is_linear):
    heads = OrderHeads([Level(0, 6, 2)], 2, kind)
    one, other, nothing = torch.randn(1, 6, 2, 3, 3), torch.randn(1, 6, 2, 3, 3), torch.zeros(1, 6, 2, 3, 3)
    apart = heads([one])[0] + heads([other])[0] - heads([nothing])[0]
    assert torch.allclose(heads([one + other])[0], apart, atol=1e-5) == is_linear
