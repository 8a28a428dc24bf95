"""Swept settings."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.comparison.sweep import describe, of_step2, parse_sweeps
from nnunetv2_lwi.errors import UserError


def test_every_combination():
    variants = parse_sweeps(["masking.ratio=0.2,0.4", "lwi.masking.patch_size=[8,8,8],[16,16,16]", "seg.optimizer=SGD"])
    assert len(variants) == 4
    assert variants[1] == {"masking.ratio": 0.2, "masking.patch_size": [16, 16, 16], "seg.optimizer": "SGD"}
    assert describe(variants[1]) == 'masking.ratio=0.2 masking.patch_size=[16,16,16] seg.optimizer="SGD"'
    assert of_step2(variants[1]) == {"seg.optimizer": "SGD"}


def test_what_is_handed_over_does_not_matter_to_a_random_start():
    variants = parse_sweeps(["seg.hand_over=network,encoder"])
    assert len(variants) == 2 and all(of_step2(variant) == {} for variant in variants)


def test_null_is_a_value_of_what_no_recipe_decides():
    assert parse_sweeps(["init.unlabelled=null,0.5"]) == [{"init.unlabelled": None}, {"init.unlabelled": 0.5}]


def test_no_sweep_is_one_empty_variant():
    assert parse_sweeps([]) == [{}] and describe({}) == ""


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["masking.ratio"], "not of the form"),
        (["masking.rato=0.1"], "cannot be swept"),
        (["seed=1,2"], "cannot be swept"),
        (["seg.start=random,step1"], "cannot be swept"),
        (["augmentation_device=auto,cpu"], "cannot be swept"),
        (["recipe=measured,paper"], "cannot be swept.*the paper's recipe are arms"),
        (['seg.hand_over=null,"network"'], "null leaves seg.hand_over to the recipe"),
        (["seg.hand_over=null,network"], "null leaves seg.hand_over to the recipe"),
        (["order_weight=0,null"], "null leaves order_weight to the recipe"),
        (["masking.ratio="], "a value is missing"),
        (["masking.ratio=0.2,,0.4"], "a value is missing"),
        (["seg.lr=1e-3", "seg.lr=1e-2"], "once"),
    ],
)
def test_what_cannot_be_swept(texts, message):
    with pytest.raises(UserError, match=message):
        parse_sweeps(texts)
