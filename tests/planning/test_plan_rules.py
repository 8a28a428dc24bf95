"""A block of settings that nobody would read is told where it stands."""

from __future__ import annotations

from typing import Any

import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.plan_rules import misplaced_blocks


def plans(top: dict[str, Any] | None = None, parent: dict[str, Any] | None = None, own: dict[str, Any] | None = None) -> Any:
    parent = {"architecture": {"arch_kwargs": {}}, **(parent or {})}
    configurations = {"parent": parent, "trained": {"inherits_from": "parent", **(own or {})}, "other": {"spacing": [1]}}
    return {"plans_name": "P", "dataset_name": "D", "configurations": configurations, **(top or {})}


@pytest.mark.parametrize(
    ("misplaced", "where"),
    [
        ({"top": {"lwi": {}}}, "lwi in the plans is read by nobody"),
        ({"own": {"LWI": {}}}, "LWI in configuration trained is read by nobody"),
        ({"own": {"lwi_": {}}}, "lwi_ in configuration trained"),
        ({"parent": {"lvi": {}}}, "lvi in configuration parent"),
        ({"parent": {"architecture": {"lwi": {}}}}, "architecture.lwi in configuration parent"),
    ],
)
def test_a_block_in_a_wrong_place_or_misspelt(misplaced, where):
    with pytest.raises(UserError, match=rf"{where}.*configurations\.trained\.lwi\. Move it there"):
        misplaced_blocks(plans(**misplaced), "trained")


def test_a_block_of_a_configuration_that_is_not_trained_is_warned_of():
    content = plans()
    content["configurations"]["other"]["lwi"] = {}
    assert misplaced_blocks(content, "trained") == [
        "configuration trained has no lwi block, and that of other is not read for it."
    ]
    content["configurations"]["parent"]["lwi"] = {}
    assert misplaced_blocks(content, "trained") == []


def test_nnunets_own_keys_are_none():
    keys = ["data_identifier", "batch_size", "patch_size", "spacing", "inherits_from", "next_stage", "previous_stage"]
    assert misplaced_blocks(plans(own=dict.fromkeys(keys, "parent")), "trained") == []
