"""What is decided for a plan that leaves it open, from which numbers, and what keeps the paper's method."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.planning.recipes import MEASURED_RULES, PAPERS_VALUES, RECIPES
from nnunetv2_lwi.planning.settings import LWISettings, decisions, flatten, open_block

INSIDE = {"patch_size": [64, 96, 120], "median_image_size_in_voxels": [200.0, 250.0, 250.0]}
AS_LARGE = {"patch_size": [40, 56, 40], "median_image_size_in_voxels": [36.0, 50.0, 35.0]}


def decided(configuration, **block):
    return {one.key: one for one in decisions({**configuration, "lwi": block})}


def test_every_open_setting_has_a_rule_and_a_value_of_the_papers_that_are_allowed():
    assert MEASURED_RULES.keys() == PAPERS_VALUES.keys()
    left_open = {key for key, value in flatten(open_block()).items() if value is None and key in PAPERS_VALUES}
    assert left_open == PAPERS_VALUES.keys()
    for recipe in RECIPES:
        for configuration in (INSIDE, AS_LARGE, {}):
            assert decided(configuration, recipe=recipe).keys() == PAPERS_VALUES.keys()
            written: dict = {}
            for key, one in decided(configuration, recipe=recipe).items():
                block, _, last = key.rpartition(".")
                (written.setdefault(block, {}) if block else written)[last] = one.value
            LWISettings.from_configuration({**configuration, "lwi": {"recipe": recipe, **written}})


def test_what_the_plan_says_is_not_decided():
    block = {"order_heads": None, "order_weight": 0.5}
    assert PAPERS_VALUES.keys() - decided(INSIDE, **block).keys() == {"order_weight"}
    settings = LWISettings.from_configuration({**INSIDE, "lwi": block})
    assert settings.order_weight == 0.5 and settings.order_heads == decided(INSIDE)["order_heads"].value


def test_the_order_is_given_away_where_a_patch_is_as_deep_as_the_image():
    assert decided(INSIDE)["order_weight"].value > 0
    one = decided(AS_LARGE)["order_weight"]
    assert one.value == 0 and str(one) == (
        "lwi.order_weight = 0.0: the patch is 1.11 times as deep as the median image, at least 0.75"
    )


@pytest.mark.parametrize("lacking", ["patch_size", "median_image_size_in_voxels"])
def test_a_rule_that_cannot_be_decided_takes_the_papers_value_and_says_so(lacking):
    some = decided({key: value for key, value in INSIDE.items() if key != lacking})
    assert some["order_weight"].value == PAPERS_VALUES["order_weight"]
    assert some["order_weight"].reason.startswith("the paper's, as the plan has no ")


def test_a_block_of_an_earlier_version_keeps_the_papers_method():
    """Which wrote masking and order weight out, and knew nothing else."""
    block = {"masking": {"ratio": 0.4, "patch_size": [16, 16, 16], "share": 1.0}, "order_weight": 1.0}
    settings = LWISettings.from_configuration({**INSIDE, "lwi": block})
    assert settings == LWISettings()
    named = LWISettings.from_configuration({**INSIDE, "lwi": {**block, "recipe": "measured"}})
    assert named.seg.hand_over == "encoder" and named.order_weight == 1.0
