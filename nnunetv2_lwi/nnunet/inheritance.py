"""Configurations that inherit from each other, looked at without trusting them.

nnU-Net's ``PlansManager`` resolves what is trained. It does not tell from whom a configuration inherits, and stops at plans
that are to be judged first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def ancestry(plans: Mapping[str, Any], configuration_name: str) -> Iterator[str]:
    """A configuration and those that it inherits from, nearest first."""
    configurations: Mapping[str, Any] = plans["configurations"]
    seen: list[str] = []
    name = configuration_name
    while name in configurations and name not in seen:
        seen.append(name)
        yield name
        name = configurations[name].get("inherits_from", "")


def resolve(plans: Mapping[str, Any], configuration_name: str) -> dict[str, Any]:
    """A configuration with what it inherits, as nnU-Net resolves it."""
    resolved: dict[str, Any] = {}
    for name in reversed(list(ancestry(plans, configuration_name))):
        resolved |= plans["configurations"][name]
    return resolved
