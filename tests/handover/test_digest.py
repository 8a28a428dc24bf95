"""What a step 1 depends on, and what a step 2 was trained with."""

from __future__ import annotations

import json

from nnunetv2_lwi.handover.digest import changed_step2, differing_keys, make_digest
from nnunetv2_lwi.planning.settings import LWISettings

CONFIGURATION = {
    "architecture": {"arch_kwargs": {"n_stages": 3}},
    "patch_size": (8, 8, 8),
    "spacing": (2, 1, 1),
    "batch_size": 2,
}


def read(**block: object) -> LWISettings:
    return LWISettings.from_configuration({"lwi": block})


def test_a_digest_is_plain_and_holds_what_the_weights_depend_on():
    """Its keys stand in users' checkpoints."""
    digest = make_digest(CONFIGURATION, 2, read(seed=1))
    assert json.loads(json.dumps(digest)) == digest == {
        "architecture": {"arch_kwargs": {"n_stages": 3}},
        "patch_size": [8, 8, 8],
        "spacing": [2, 1, 1],
        "image_channels": 2,
        "lwi": read(seed=1).step1(),
    }  # fmt: skip


def test_keys_that_only_one_has_differ():
    assert differing_keys({"a": 1, "b": {"c": 2}}, {"b": {"c": 2, "d": 3}}) == ["a: 1, here None", "b.d: None, here 3"]


def test_settings_that_came_or_went_count_as_what_they_were():
    """A step 1 of an earlier version: the paper's reconstruction and heads, and settings that are gone at their defaults."""
    now = make_digest(CONFIGURATION, 1, read(recipe="paper"))
    lwi = {key: value for key, value in now["lwi"].items() if key not in ("reconstruction_outputs", "order_heads")}
    earlier = {**now, "lwi": {**lwi, "masking": {**lwi["masking"], "share": 1.0}, "shuffled_share": 1.0}}
    assert differing_keys(earlier, now) == []
    other = {**earlier, "lwi": {**earlier["lwi"], "shuffled_share": 0.5}}
    assert differing_keys(other, now) == ["lwi.shuffled_share: 0.5, here 1.0"]
    masked = make_digest(CONFIGURATION, 1, read(recipe="paper", order_heads="mlp"))
    assert differing_keys(earlier, masked) == ["lwi.order_heads: 'linear', here 'mlp'"]


def state(kind: str, **block: object) -> dict:
    settings = read(**block)
    return {"start": {"kind": kind}, "digest": make_digest(CONFIGURATION, 1, settings), "step2": settings.step2()}


def changes(state: dict, **block: object) -> list[str]:
    settings = read(**block)
    return changed_step2(state, make_digest(CONFIGURATION, 1, settings), settings)


def test_settings_of_step_1_count_only_where_both_start_from_a_step_1_that_they_find():
    other = {"masking": {"ratio": 0.3}}
    random = {"seg": {"start": "random"}}
    assert changes(state("step1"), **other) == [f"lwi.masking.ratio: {read().masking.ratio}, here 0.3"]
    assert changes(state("pretrained_weights"), **other) == []
    assert changes(state("random", **random), **random, **other) == []
    assert changes(state("step1"), **random, **other) == ["lwi.seg.start: 'step1', here 'random'"]


def test_settings_of_step_2_and_the_network_always_count():
    for kind in ("step1", "random", "pretrained_weights"):
        assert changes(state(kind), seg={"lr": 0.5}) == ["lwi.seg.lr: 0.01, here 0.5"]
        other = make_digest({**CONFIGURATION, "patch_size": (8, 8, 16)}, 1, read())
        assert changed_step2(state(kind), other, read()) == ["patch_size: [8, 8, 8], here [8, 8, 16]"]


def test_a_checkpoint_that_does_not_say_its_step_2_is_taken_as_the_plan_s():
    before = state("step1")
    del before["step2"]
    assert changes(before, seg={"lr": 0.5}) == []
