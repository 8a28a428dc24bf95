"""The closed set of settings: defaults, what is refused and how it is said."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass

import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.settings import LWISettings, as_json, flatten


def read(block):
    return LWISettings.from_configuration({"lwi": block})


def test_defaults_hold_without_a_block():
    settings = LWISettings.from_configuration({"patch_size": [8, 8, 8]})
    assert settings == LWISettings() == read({})
    assert (settings.masking.ratio, settings.masking.patch_size, settings.masking.strategy) == (0.4, (16, 16, 16), "random")
    assert (settings.order_weight, settings.reconstruction_weight) == (1.0, 1.0)
    assert (settings.init.epochs, settings.seg.epochs, settings.seg.lr, settings.seg.momentum) == (200, 1000, 1e-2, 0.99)


def test_what_is_written_as_json_is_read_back_the_same():
    settings = read({"num_subvolumes": 4, "init": {"optimizer": "AdamW", "betas": [0.8, 0.9]}, "order_levels": [0, 2]})
    assert read(json.loads(json.dumps(as_json(settings)))) == settings


@pytest.mark.parametrize(
    ("block", "key", "value"),
    [
        ({"num_subvolumes": 1}, "lwi.num_subvolumes", "1"),
        ({"num_subvolumes": 2.0}, "lwi.num_subvolumes", "2.0"),
        ({"num_subvolumes": True}, "lwi.num_subvolumes", "True"),
        ({"masking": {"ratio": 1}}, "lwi.masking.ratio", "1"),
        ({"masking": {"ratio": -0.1}}, "lwi.masking.ratio", "-0.1"),
        ({"masking": {"ratio": "0.4"}}, "lwi.masking.ratio", "'0.4'"),
        ({"masking": {"strategy": "cube"}}, "lwi.masking.strategy", "'cube'"),
        ({"masking": {"patch_size": [16, 16]}}, "lwi.masking.patch_size", "[16, 16]"),
        ({"masking": {"patch_size": 16}}, "lwi.masking.patch_size", "16"),
        ({"masking": {"patch_size": [16, 0, 16]}}, "lwi.masking.patch_size", "[16, 0, 16]"),
        ({"order_weight": -1}, "lwi.order_weight", "-1"),
        ({"reconstruction_weight": math.nan}, "lwi.reconstruction_weight", "nan"),
        ({"reconstruction_weight": None}, "lwi.reconstruction_weight", "None"),
        ({"order_levels": []}, "lwi.order_levels", "[]"),
        ({"order_levels": [1, 1]}, "lwi.order_levels", "[1, 1]"),
        ({"order_levels": [-1]}, "lwi.order_levels", "[-1]"),
        ({"init": {"epochs": 0}}, "lwi.init.epochs", "0"),
        ({"init": {"optimizer": "Adam"}}, "lwi.init.optimizer", "'Adam'"),
        ({"init": {"lr": 0}}, "lwi.init.lr", "0"),
        ({"init": {"lr": math.inf}}, "lwi.init.lr", "inf"),
        ({"init": {"weight_decay": -1}}, "lwi.init.weight_decay", "-1"),
        ({"seg": {"momentum": 1}}, "lwi.seg.momentum", "1"),
        ({"seg": {"nesterov": 1}}, "lwi.seg.nesterov", "1"),
        ({"seg": {"betas": [0.9]}}, "lwi.seg.betas", "[0.9]"),
        ({"seg": {"schedule": "step"}}, "lwi.seg.schedule", "'step'"),
        ({"seg": {"warmup_epochs": -1}}, "lwi.seg.warmup_epochs", "-1"),
        ({"seg": {"gradient_clip": 0}}, "lwi.seg.gradient_clip", "0"),
        ({"seg": {"start": "step2"}}, "lwi.seg.start", "'step2'"),
        ({"seg": {"start": "random", "initialization": "he"}}, "lwi.seg.initialization", "'he'"),
        ({"iterations_per_epoch": 0}, "lwi.iterations_per_epoch", "0"),
        ({"val_iterations_per_epoch": 0}, "lwi.val_iterations_per_epoch", "0"),
        ({"augmentation_device": "gpu"}, "lwi.augmentation_device", "'gpu'"),
        ({"seed": -1}, "lwi.seed", "-1"),
        ({"init": 3}, "lwi.init", "3"),
        ([], "lwi", "[]"),
    ],
)
def test_a_wrong_value_is_refused_by_key_value_and_rule(block, key, value):
    with pytest.raises(UserError) as error:
        read(block)
    assert f"{key} " in error.value.message and value in error.value.message and "must be" in error.value.message
    assert "\n" not in error.value.message and error.value.code == error.value.message


@pytest.mark.parametrize(
    ("block", "unknown", "meant"),
    [
        ({"num_subvolume": 4}, "lwi.num_subvolume ", "num_subvolumes"),
        ({"masking": {"rato": 0.1}}, "lwi.masking.rato ", "ratio"),
        ({"init": {"learning_rate": 0.1}}, "lwi.init.learning_rate ", None),
        ({"init": {"start": "random"}}, "lwi.init.start ", None),
    ],
)
def test_an_unknown_key_is_refused_with_a_hint(block, unknown, meant):
    with pytest.raises(UserError) as error:
        read(block)
    assert unknown in error.value.message
    assert meant is None or f"Did you mean {meant}?" in error.value.message


@pytest.mark.parametrize(
    "block",
    [
        {"order_weight": 0, "reconstruction_weight": 0},
        {"init": {"epochs": 5, "warmup_epochs": 5}},
        {"seg": {"momentum": 0}},
        {"seg": {"initialization": "xavier_normal"}},
    ],
)
def test_settings_that_contradict_each_other_are_refused(block):
    with pytest.raises(UserError):
        read(block)


def test_every_leaf_has_a_rule_and_the_default_keeps_it():
    def check(settings):
        for field in fields(settings):
            value = getattr(settings, field.name)
            if is_dataclass(value):
                check(value)
            else:
                assert field.metadata["rule"].holds(value), field.name

    check(LWISettings())


def test_step1_is_all_that_its_weights_depend_on():
    changed = {"init": {"epochs": 7}, "masking": {"ratio": 0.3}, "num_subvolumes": 2, "seed": 3, "iterations_per_epoch": 9}
    for key, value in changed.items():
        assert read({key: value}).step1() != LWISettings().step1(), key
    for block in ({"seg": {"epochs": 3}}, {"augmentation_device": "cpu"}, {"val_iterations_per_epoch": 1}):
        assert read(block).step1() == LWISettings().step1()


def test_flatten_joins_keys():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}
