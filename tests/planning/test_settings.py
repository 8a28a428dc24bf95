"""The closed set of settings and its defaults; what is refused, and how it is said, is in tests/bad_input."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace

from nnunetv2_lwi.planning.overrides import set_values
from nnunetv2_lwi.planning.settings import OF_SCANS_WITHOUT_LABELS, LWISettings, as_json, flatten


def read(block):
    return LWISettings.from_configuration({"lwi": block})


def test_defaults_hold_without_a_block():
    settings = LWISettings.from_configuration({})
    assert settings == read({})


def test_the_papers_values_hold_where_its_recipe_is_named():
    """And in settings that are made without a plan."""
    settings = read({"recipe": "paper"})
    assert settings == replace(LWISettings(), recipe="paper")
    assert (settings.seg.hand_over, settings.order_heads) == ("network", "linear")
    assert settings.reconstruction_outputs == "full_resolution"
    assert (settings.masking.ratio, settings.masking.patch_size, settings.masking.strategy) == (0.4, (16, 16, 16), "random")
    assert (settings.order_weight, settings.reconstruction_weight) == (1.0, 1.0)
    assert (settings.init.epochs, settings.seg.epochs, settings.seg.lr, settings.seg.momentum) == (200, 1000, 1e-2, 0.99)


def test_what_is_written_as_json_is_read_back_the_same():
    settings = read({"num_subvolumes": 4, "init": {"optimizer": "AdamW", "betas": [0.8, 0.9]}, "order_levels": [0, 2]})
    assert read(json.loads(json.dumps(as_json(settings)))) == settings


def test_every_leaf_has_a_rule_and_the_default_keeps_it():
    def check(settings):
        for field in fields(settings):
            value = getattr(settings, field.name)
            if is_dataclass(value):
                check(value)
            else:
                assert field.metadata["rule"].holds(value), field.name

    check(LWISettings())


OTHER_VALUES = {
    "num_subvolumes": 2, "masking.strategy": "tube", "masking.ratio": 0.3, "masking.patch_size": [4, 4, 4],
    "reconstruction_outputs": "all", "order_heads": "mlp",
    "order_weight": 0.5, "reconstruction_weight": 0.5, "order_levels": [1], "init.epochs": 7,
    "init.optimizer": "AdamW", "init.lr": 0.5, "init.weight_decay": 0.5, "init.momentum": 0.5, "init.nesterov": False,
    "init.betas": [0.5, 0.5], "init.schedule": "cosine", "init.warmup_epochs": 1, "init.gradient_clip": None,
    "iterations_per_epoch": 9, "seed": 3, "init.labelled_share": 0.5,
}  # fmt: skip
"""Of every setting that step 1's weights depend on."""


def with_value(key, value):
    block: dict = {"recipe": "paper"}
    set_values(block, {}, {key: value})
    return read(block)


def test_step1_is_all_that_its_weights_depend_on():
    default = LWISettings()
    others = {key for key in flatten(as_json(default)) if not key.startswith("seg.")}
    others -= {"recipe", "augmentation_device", "val_iterations_per_epoch", "init.unlabelled"}
    assert others == OTHER_VALUES.keys()
    for key, value in OTHER_VALUES.items():
        assert with_value(key, value).step1() != default.step1(), key
    for key, value in (("seg.epochs", 3), ("augmentation_device", "cpu"), ("val_iterations_per_epoch", 1)):
        assert with_value(key, value).step1() == default.step1(), key


def test_settings_that_earlier_versions_did_not_have_leave_their_weights_and_comparisons_valid():
    assert not set(OF_SCANS_WITHOUT_LABELS) & LWISettings().step1()["init"].keys()
    for value in (True, False, 0.5):
        assert with_value("init.unlabelled", value).step1() == LWISettings().step1(), "the scans themselves are compared"


def test_flatten_joins_keys():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}
