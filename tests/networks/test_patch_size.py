"""Sizes that strides allow, and what is said of others."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.networks import UNETR, Primus, SwinUNETR, UNETRPlusPlus
from nnunetv2_lwi.networks.patch_size import check_patch_size, nearest_patch_size


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
    with pytest.raises(SystemExit, match=r"three edges.*\[96, 96\]"):
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
    with pytest.raises(SystemExit) as stopped:
        network_class(input_channels=1, num_classes=2, patch_size=patch_size)
    assert str(patch_size) in str(stopped.value)
    assert str(nearest) in str(stopped.value)
