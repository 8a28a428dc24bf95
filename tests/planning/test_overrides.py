"""Single values by dotted key."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.networks import UNETR
from nnunetv2_lwi.planning.overrides import check_overrides, get_value, parse_override, set_values

CONFIGURATION = {"patch_size": [8, 8, 8], "spacing": [1.0, 1.0, 1.0], "lwi": {}, "resampling_fn_data_kwargs": {"order": 3}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k=50", 50),
        ("k = 1e-4", 1e-4),
        ("k=true", True),
        ("k=null", None),
        ("k=[64,64,64]", [64, 64, 64]),
        ("k=AdamW", "AdamW"),
        ('k="a=b"', "a=b"),
    ],
)
def test_values_are_json_and_plain_words(text, value):
    assert parse_override(text) == ("k", value)


@pytest.mark.parametrize("text", ["lwi.init.epochs", "=3", "k=", "k=[1,2", "k=None", "k=True"])
def test_what_is_neither_is_told(text):
    with pytest.raises(UserError, match="--set"):
        parse_override(text)


@pytest.mark.parametrize(
    "key",
    [
        "patch_size",
        "lwi.init.epochs",
        "lwi.masking",
        "lwi",
        "architecture.arch_kwargs.num_heads",
        "architecture.network_class_name",
        "resampling_fn_data_kwargs.order",
    ],
)
def test_keys_that_a_plan_reads_are_known(key):
    check_overrides({key: [8, 8, 8]}, CONFIGURATION, UNETR)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lwi.init.epoch", r"Did you mean lwi\.init\.epochs\?"),
        ("lwi.seed.x", "no such key"),
        ("patchsize", r"Did you mean patch_size\?"),
        ("architecture.arch_kwargs.num_head", r"Did you mean architecture\.arch_kwargs\.num_heads\?"),
        ("architecture.arch_kwargs.num_classes", "no such key"),
        ("zzz", "Known: patch_size"),
    ],
)
def test_other_keys_are_told_with_the_nearest(key, message):
    with pytest.raises(UserError, match=message):
        check_overrides({key: 1}, CONFIGURATION, UNETR)


@pytest.mark.parametrize(
    ("key", "value"), [("patch_size", 64), ("patch_size", [8, 8]), ("batch_size", 0), ("spacing", [1, 1, 0])]
)
def test_values_that_are_not_allowed_are_told(key, value):
    configuration = CONFIGURATION | {"batch_size": 2}
    with pytest.raises(UserError, match=f"--set {key}=.* it must be"):
        check_overrides({key: value}, configuration, UNETR)


def test_blocks_are_taken_over_whole_from_the_parent():
    configuration: dict = {"lwi": {"init": {"epochs": 1}}}
    inherited = {"architecture": {"network_class_name": "N", "arch_kwargs": {"a": 1, "b": 2}}}
    set_values(configuration, inherited, {"architecture.arch_kwargs.a": 3, "lwi.init.lr": 0.1, "lwi.seg.epochs": 2})
    assert configuration == {
        "lwi": {"init": {"epochs": 1, "lr": 0.1}, "seg": {"epochs": 2}},
        "architecture": {"network_class_name": "N", "arch_kwargs": {"a": 3, "b": 2}},
    }
    assert inherited["architecture"]["arch_kwargs"]["a"] == 1


def test_a_key_below_a_value_is_told():
    with pytest.raises(UserError, match="batch_size holds a value"):
        set_values({"batch_size": 2}, {}, {"batch_size.x": 1})


def test_get_value():
    assert get_value({"a": {"b": [1]}}, "a.b") == [1]
    assert get_value({"a": 1}, "a.b") is None
