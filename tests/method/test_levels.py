"""B and the levels with heads, measured on networks rather than read from strides."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.method.levels import Level, choose_order_levels, count_slabs, measure_levels
from nnunetv2_lwi.planning.settings import LWISettings
from tests.networks_for_tests import build_unet

ANISOTROPIC = [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]]


def read(**block):
    return LWISettings.from_configuration({"lwi": {"order_weight": 1.0, **block}})


@pytest.mark.parametrize("residual", [False, True])
def test_levels_are_measured(residual):
    network = build_unet(ANISOTROPIC, channels=2, residual=residual)
    levels = measure_levels(network.encoder, 2, (12, 16, 24))
    assert levels == [Level(0, 4, 12), Level(1, 8, 12), Level(2, 16, 6), Level(3, 32, 3)]


class ReadsValues(nn.Module):
    """Cannot run on shapes alone."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv3d(1, 2, 2, 2)

    def forward(self, x):
        return [self.convolution(x) if x.sum().item() == 0 else x]


def test_a_network_that_reads_values_is_measured_for_real():
    assert measure_levels(ReadsValues(), 1, (4, 4, 4)) == [Level(0, 2, 2)]


def test_slabs_default_to_the_depth_of_the_deepest_level():
    assert count_slabs(read(), [Level(0, 4, 12), Level(1, 8, 3)], 12) == 3
    assert count_slabs(read(), [Level(0, 4, 7), Level(1, 8, 7)], 7) == 7
    assert count_slabs(read(num_subvolumes=6), [Level(0, 4, 12), Level(1, 8, 3)], 12) == 6
    assert count_slabs(read(order_weight=0, num_subvolumes=6), [Level(0, 4, 12)], 12) == 1


def test_two_slabs_are_enough():
    assert count_slabs(read(), [Level(0, 4, 2)], 2) == 2


MEASURED = "(the depth of the deepest level, as the plan names none)"


@pytest.mark.parametrize(
    ("block", "deepest", "depth", "words"),
    [
        ({}, 1, 9, f"1 {MEASURED} is not allowed with a patch of 9 slices: it must be at least 2 and divide them (3, 9)"),
        ({"num_subvolumes": 5}, 3, 12, "5 in the plan is not allowed with a patch of 12 slices: it must be at least 2 and "
         "divide them (2, 3, 4, 6, 12); or set lwi.order_weight 0 to predict no order."),
        ({}, 3, 1, f"3 {MEASURED} is not allowed with a patch of 1 slices: it must be at least 2 and divide them (no number "
         "does); or"),
    ],
)  # fmt: skip
def test_slabs_below_two_or_that_do_not_divide_the_depth_are_refused(block, deepest, depth, words):
    with pytest.raises(UserError, match=re.escape(f"lwi.num_subvolumes = {words}")):
        count_slabs(read(**block), [Level(0, 4, deepest)], depth)


def test_a_level_that_cannot_is_told_beside_all_levels():
    levels = [Level(0, 4, 12), Level(1, 8, 5)]
    with pytest.raises(UserError, match=r"level 1 cannot tell .* Levels: 0 \(depth 12\), 1 \(depth 5\)\."):
        choose_order_levels(read(order_levels=[1]), nn.Identity(), levels, 6)


def test_levels_whose_depth_is_no_multiple_carry_no_head():
    levels = [Level(0, 4, 12), Level(1, 8, 6), Level(2, 16, 3)]
    assert [level.index for level in choose_order_levels(read(), nn.Identity(), levels, 6)] == [0, 1]
    assert choose_order_levels(read(order_weight=0), nn.Identity(), levels, 1) == []


def test_a_network_may_offer_some_levels_only():
    network = nn.Identity()
    network.order_levels = [1, 2]
    levels = [Level(0, 1, 8), Level(1, 4, 4), Level(2, 4, 2)]
    assert [level.index for level in choose_order_levels(read(), network, levels, 2)] == [1, 2]
    assert [level.index for level in choose_order_levels(read(order_levels=[2, 0]), network, levels, 2)] == [0, 2]


def test_a_named_level_that_cannot_order_is_refused():
    levels = [Level(0, 4, 12), Level(1, 8, 3)]
    for index in (1, 5):
        with pytest.raises(UserError, match=f"level {index} cannot"):
            choose_order_levels(read(order_levels=[0, index]), nn.Identity(), levels, 6)


def test_no_usable_level_is_an_error():
    network = nn.Identity()
    network.order_levels = [1]
    with pytest.raises(UserError, match="No level"):
        choose_order_levels(read(), network, [Level(0, 4, 12), Level(1, 8, 3)], 6)


def test_measuring_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.BatchNorm3d(2))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network[1].eval()
    measure_levels(nn.Sequential(network, Listed()), 1, (2, 2, 2))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert network.training and not network[1].training


class Listed(nn.Module):
    def forward(self, x):
        return [x]
