"""Which packages a network comes from: its own, and those of the parts that it is given."""

from __future__ import annotations

from typing import Any

import pytest

from nnunetv2_lwi.export.packages import packages_beside_nnunet
from tests.networks_for_tests import REQUIRE_IMPORT, UNET, unet_kwargs

STRIDES = [[1, 1, 1], [2, 2, 2]]


@pytest.mark.parametrize(
    ("name", "changes", "packages"),
    [
        (f"{UNET}.PlainConvUNet", {}, []),
        (f"{UNET}.PlainConvUNet", {"norm_op": "theirs.norms.Norm"}, ["theirs"]),
        ("nnunetv2_lwi.networks.UNETR", {}, ["nnunetv2_lwi"]),
        ("ours.Net", {"nonlin": "theirs.Act"}, ["ours", "theirs"]),
        ("dynamic_network_architectures_of_mine.Net", {}, ["dynamic_network_architectures_of_mine"]),
    ],
)
def test_of_network_and_parts(name: str, changes: dict[str, Any], packages: list[str]):
    architecture = {"network_class_name": name, "arch_kwargs": unet_kwargs(STRIDES) | changes}
    assert packages_beside_nnunet(architecture | {"_kw_requires_import": REQUIRE_IMPORT}) == packages
