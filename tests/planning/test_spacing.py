"""Configurations that train in silence on data of another spacing are found."""

from __future__ import annotations

from copy import deepcopy

import pytest

from nnunetv2_lwi.planning.spacing import resampled_shape, same_spacing, spacing_problem

PLANS = {
    "configurations": {
        "2d": {"data_identifier": "P_2d", "spacing": [1.0, 1.0]},
        "3d_fullres": {"data_identifier": "P_3d_fullres", "spacing": [2.0, 1.0, 1.0]},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    }
}


def with_children(**children):
    plans = deepcopy(PLANS)
    plans["configurations"] |= children
    return plans


@pytest.mark.parametrize("name", PLANS["configurations"])
def test_plans_of_nnunet_have_no_problem(name):
    assert spacing_problem(PLANS, name) is None


@pytest.mark.parametrize(
    "child",
    [
        {"inherits_from": "3d_fullres", "spacing": [3.0, 1.0, 1.0]},
        {"inherits_from": "3d_cascade_fullres", "spacing": [3.0, 1.0, 1.0]},
        {"inherits_from": "3d_fullres", "spacing": [3.0, 1.0, 1.0], "data_identifier": "P_3d_fullres"},
        {"inherits_from": "3d_fullres", "spacing": [1.0, 1.0]},
    ],
    ids=["inherited", "from a grandparent", "written again", "another dimension"],
)
def test_a_changed_spacing_with_the_parents_data_is_told(child):
    problem = spacing_problem(with_children(child=child), "child")
    assert problem is not None
    assert str(child["spacing"]) in problem and "[2.0, 1.0, 1.0]" in problem and "nnUNetv2_preprocess -c child" in problem


@pytest.mark.parametrize(
    "child",
    [
        {"inherits_from": "3d_fullres", "patch_size": [8, 8, 8]},
        {"inherits_from": "3d_fullres", "spacing": [2, 1, 1]},
        {"inherits_from": "3d_fullres", "spacing": [3.0, 1.0, 1.0], "data_identifier": "Own"},
    ],
    ids=["no spacing", "the same spacing", "data of its own"],
)
def test_other_children_are_let_through(child):
    assert spacing_problem(with_children(child=child), "child") is None


def test_a_grandchild_of_a_child_with_data_of_its_own():
    children = {
        "child": {"inherits_from": "3d_fullres", "spacing": [3.0, 1.0, 1.0], "data_identifier": "Own"},
        "grandchild": {"inherits_from": "child", "batch_size": 1},
    }
    assert spacing_problem(with_children(**children), "grandchild") is None


def test_inheritance_in_a_circle_ends():
    plans = with_children(a={"inherits_from": "b", "spacing": [1.0]}, b={"inherits_from": "a", "spacing": [1.0]})
    assert spacing_problem(plans, "a") is None


def test_spacings_and_shapes():
    assert same_spacing([2, 1.0], [2.0, 1.0000001])
    assert not same_spacing([2.0, 1.0], [2.0, 1.1])
    assert resampled_shape([36, 50, 35], [1.0, 1.0, 1.0], [2.0, 1.0, 0.5]) == [18.0, 50.0, 70.0]
