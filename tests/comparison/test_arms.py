"""Arms by name."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.comparison.arms import known_arms, parse_arms
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.overrides import set_values
from nnunetv2_lwi.planning.settings import LWISettings

OF_STEP1 = ("init.epochs", "init.lr")


@pytest.mark.parametrize("name", known_arms()[:-1])
def test_every_arm_is_a_valid_block(name):
    block = {}
    (arm,) = parse_arms([name])
    set_values(block, {}, arm.settings)
    settings = LWISettings.from_configuration({"lwi": block})
    assert (settings.seg.start == "step1") == arm.runs_step1
    assert arm.sees_all_images == name.endswith("_all")


def test_objectives_of_the_paper():
    lwi, mask, tube, order = parse_arms(["lwi", "mask", "tube", "order_all"])
    assert "order_weight" not in lwi.settings and "reconstruction_weight" not in lwi.settings
    assert mask.settings["order_weight"] == tube.settings["order_weight"] == order.settings["reconstruction_weight"] == 0
    assert (mask.settings["masking.strategy"], tube.settings["masking.strategy"]) == ("random", "tube")


def test_a_checkpoint_of_the_users(tmp_path):
    path = tmp_path / "weights.pth"
    path.touch()
    (arm,) = parse_arms([f"pretrained:{path}"])
    assert arm.weights == path and not arm.runs_step1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["lwi_al"], "Did you mean lwi_all"),
        (["random", "random"], "once"),
        (["pretrained:/nowhere.pth"], "no file /nowhere.pth"),
        (["random_all"], "no arm random_all"),
    ],
)
def test_other_names_are_errors(names, message):
    with pytest.raises(UserError, match=message):
        parse_arms(names)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("random", ["seg.lr"]),
        ("random_longer", ["init.epochs", "seg.lr"]),
        ("kaiming_normal", ["seg.lr"]),
        ("lwi", ["masking.strategy", "masking.ratio", "order_weight", "order_levels", *OF_STEP1, "seg.hand_over", "seg.lr"]),
        ("mask_all", ["masking.ratio", *OF_STEP1, "seg.hand_over", "seg.lr"]),
        ("paper_all", ["masking.strategy", "masking.ratio", "order_levels", *OF_STEP1, "seg.lr"]),
        ("order", ["order_levels", *OF_STEP1, "seg.hand_over", "seg.lr"]),
        ("pretrained", ["seg.hand_over", "seg.lr"]),
    ],
)
def test_which_swept_settings_change_an_arms_trainings(name, taken, tmp_path):
    (tmp_path / "weights.pth").touch()
    (arm,) = parse_arms([f"pretrained:{tmp_path / 'weights.pth'}" if name == "pretrained" else name])
    keys = ["masking.strategy", "masking.ratio", "order_weight", "order_levels", *OF_STEP1, "seg.hand_over", "seg.lr"]
    assert list(arm.takes(dict.fromkeys(keys, 1))) == taken


def test_settings_of_the_order_change_nothing_where_the_plan_predicts_none():
    without = LWISettings.from_configuration({"lwi": {"order_weight": 0.0}})
    lwi, mask, order = parse_arms(["lwi", "mask", "order"], without)
    heads = {"order_heads": "mlp", "num_subvolumes": 2}
    assert lwi.takes(heads) == mask.takes(heads) == {} and order.takes(heads) == heads
    both = {"order_weight": 0.1, **heads}
    assert lwi.takes(both) == both and mask.takes(both) == {} and order.takes(both) == heads
    nothing = {"order_weight": 0.0, **heads}
    assert lwi.takes(nothing) == {"order_weight": 0.0}
    (with_order,) = parse_arms(["lwi"], LWISettings.from_configuration({"lwi": {"order_weight": 0.1}}))
    assert with_order.takes(heads) == heads


@pytest.mark.parametrize(
    ("name", "seen"), [("lwi", (False, False)), ("lwi_all", (True, False)), ("mask_unlabelled", (False, True))]
)
def test_an_arm_s_name_says_which_images_step_1_sees(name, seen):
    (arm,) = parse_arms([name])
    assert (arm.sees_all_images, arm.sees_scans) == seen and arm.runs_step1


def test_settings_of_scans_without_labels_concern_arms_that_see_them_alone():
    lwi, unlabelled, random = parse_arms(["lwi", "lwi_unlabelled", "random"])
    variant = {"init.unlabelled": 0.5, "init.labelled_share": 0.3}
    assert lwi.takes(variant) == {} == random.takes(variant) and unlabelled.takes(variant) == variant
