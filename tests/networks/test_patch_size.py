"""Sizes that strides allow, and what is said of others."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nnunetv2_lwi.networks import UNETR, Primus, SwinUNETR, UNETRPlusPlus
from nnunetv2_lwi.networks.dry_run import run_on_shapes
from nnunetv2_lwi.networks.patch_size import check_patch_size, nearest_patch_size
from tests.networks.conftest import SMALL

STRIDES = {"unetr": (16, 16, 16), "swin_unetr": (32, 32, 32), "unetr_pp": (16, 32, 32), "primus": (8, 4, 8)}
each_network = pytest.mark.parametrize("name", STRIDES)
few_examples = settings(max_examples=10, deadline=None)


@pytest.mark.parametrize(
    ("patch_size", "stride", "nearest"),
    [
        ([96, 96, 96], (16, 16, 16), (96, 96, 96)),
        ([40, 56, 40], (16, 16, 16), (48, 64, 48)),
        ([39, 55, 41], (16, 16, 16), (32, 48, 48)),
        ([1, 7, 200], (16, 32, 32), (16, 32, 192)),
    ],
)
def test_nearest_patch_size(patch_size, stride, nearest):
    assert nearest_patch_size(patch_size, stride) == nearest


def test_deeper_where_one_token_is_too_few():
    assert nearest_patch_size([32, 32, 32], (32, 32, 32), fewest_tokens=2) == (64, 32, 32)
    assert nearest_patch_size([32, 64, 32], (32, 32, 32), fewest_tokens=2) == (32, 64, 32)


def test_three_edges():
    with pytest.raises(ValueError, match=r"three edges.*\[96, 96\]"):
        check_patch_size("UNETR", [96, 96], (16, 16, 16))


@pytest.mark.parametrize(
    ("network_class", "patch_size", "nearest"),
    [
        (UNETR, [40, 56, 40], [48, 64, 48]),
        (SwinUNETR, [40, 56, 40], [32, 64, 32]),
        (SwinUNETR, [32, 32, 32], [64, 32, 32]),
        (UNETRPlusPlus, [40, 56, 40], [48, 64, 32]),
        (Primus, [40, 56, 42], [40, 56, 40]),
    ],
)
def test_networks_name_the_nearest_size_that_works(network_class, patch_size, nearest):
    with pytest.raises(ValueError, match="The nearest size that works is") as stopped:
        network_class(input_channels=1, num_classes=2, patch_size=patch_size)
    assert str(patch_size) in str(stopped.value)
    assert str(nearest) in str(stopped.value)


def output_shape(name, patch_size, channels):
    """Of a network on two samples, without computing."""
    network = replace(SMALL[name], arch_kwargs=SMALL[name].arch_kwargs | {"patch_size": patch_size})
    return list(run_on_shapes(network.build(channels), channels, patch_size).shape)


@each_network
@few_examples
@given(steps=st.tuples(*[st.integers(1, 5)] * 3), channels=st.integers(1, 4))
def test_any_patch_that_the_strides_allow_works_with_any_number_of_channels(name, steps, channels):
    assume(name != "swin_unetr" or steps != (1, 1, 1))
    patch_size = [count * stride for count, stride in zip(steps, STRIDES[name], strict=True)]
    assert output_shape(name, patch_size, channels) == [2, 3, *patch_size]


@each_network
@few_examples
@given(patch_size=st.lists(st.integers(1, 160), min_size=3, max_size=3))
def test_for_any_other_patch_the_size_that_is_named_is_near_and_works(name, patch_size):
    strides = STRIDES[name]
    assume(any(edge % stride for edge, stride in zip(patch_size, strides, strict=True)))
    with pytest.raises(ValueError, match="The nearest size that works is") as stopped:
        output_shape(name, patch_size, 1)
    nearest = json.loads(re.search(r"The nearest size that works is (\[.*\])", str(stopped.value))[1])
    for asked, named, stride in zip(patch_size, nearest, strides, strict=True):
        assert 2 * abs(asked - named) <= stride or named == stride or nearest == [64, 32, 32]
    assert output_shape(name, nearest, 1) == [2, 3, *nearest]
