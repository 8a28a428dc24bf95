"""What is decided for a plan that leaves it open, and what keeps the paper's method."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.planning.recipes import MEASURED_VALUES, PAPERS_VALUES, RECIPES, way_back
from nnunetv2_lwi.planning.settings import LWISettings, decisions, flatten, open_block


def decided(**block):
    return {one.key: one for one in decisions({"lwi": block})}


def test_every_open_setting_has_a_value_of_either_recipe_that_is_allowed():
    assert MEASURED_VALUES.keys() == PAPERS_VALUES.keys()
    left_open = {key for key, value in flatten(open_block()).items() if value is None and key in PAPERS_VALUES}
    assert left_open == PAPERS_VALUES.keys()
    for recipe in RECIPES:
        decisions_of_it = decided(recipe=recipe)
        assert decisions_of_it.keys() == PAPERS_VALUES.keys()
        written: dict = {}
        for key, one in decisions_of_it.items():
            block, _, last = key.rpartition(".")
            (written.setdefault(block, {}) if block else written)[last] = one.value
        LWISettings.from_configuration({"lwi": {"recipe": recipe, **written}})


def test_what_the_plan_says_is_not_decided():
    block = {"order_heads": None, "order_weight": 0.5}
    assert PAPERS_VALUES.keys() - decided(**block).keys() == {"order_weight"}
    settings = LWISettings.from_configuration({"lwi": block})
    assert settings.order_weight == 0.5 and settings.order_heads == decided()["order_heads"].value


def test_by_the_measured_recipe_nothing_is_shuffled_and_the_encoder_goes_over():
    measured = {key: one.value for key, one in decided().items()}
    assert (measured["order_weight"], measured["reconstruction_outputs"], measured["seg.hand_over"]) == (
        0.0,
        "all",
        "encoder",
    )
    assert str(decided()["order_weight"]) == "lwi.order_weight = 0.0: as measured"


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({}, "unused, as no order is predicted"),
        ({"order_weight": 0}, "unused, as no order is predicted"),
        ({"order_weight": 0.1}, "as measured"),
        ({"recipe": "paper"}, "the paper's"),
        ({"recipe": "paper", "order_weight": 0.0}, "unused, as no order is predicted"),
    ],
)
def test_heads_that_nothing_uses_are_told_as_such(block, reason):
    assert decided(**block)["order_heads"].reason == reason


def test_a_block_of_an_earlier_version_keeps_the_papers_method():
    """Which wrote masking and order weight out, and knew nothing else."""
    block = {"masking": {"ratio": 0.4, "patch_size": [16, 16, 16], "share": 1.0}, "order_weight": 1.0}
    settings = LWISettings.from_configuration({"lwi": block})
    assert settings == LWISettings()
    named = LWISettings.from_configuration({"lwi": {**block, "recipe": "measured"}})
    assert named.seg.hand_over == "encoder" and named.order_weight == 1.0


@pytest.mark.parametrize(
    ("differences", "told"),
    [
        (["lwi.masking.ratio: 0.4, here 0.6"], ""),
        (["lwi.order_weight: 0.5, here 0.0"], ""),
        (["lwi.order_weight: 0.1, here 0.0"], '"order_weight": 0.1 in the lwi block'),
        (["lwi.order_weight: 1.0, here 0.0", "lwi.order_heads: 'linear', here 'mlp'"], '"recipe": "paper"'),
    ],
)
def test_what_earlier_versions_decided_otherwise_has_a_way_back(differences, told):
    assert told in way_back(differences) and bool(told) == bool(way_back(differences))
