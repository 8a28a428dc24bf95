"""Data that a configuration inherits, and whether they have its spacing.

nnU-Net's ``inherits_from`` is shallow: a configuration that changes only the spacing keeps its parent's
``data_identifier``, and trains in silence on data of another spacing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any

from nnunetv2_lwi.nnunet.inheritance import ancestry, resolve


def spacing_problem(plans: Mapping[str, Any], configuration_name: str) -> str | None:
    """What is wrong with the data that a configuration shares with those it inherits from, or None.

    Args:
        plans: the content of a plans file.
        configuration_name: one of its configurations.
    """
    own = resolve(plans, configuration_name)
    for ancestor in ancestry(plans, configuration_name):
        theirs = resolve(plans, ancestor)
        shared = own.get("data_identifier") == theirs.get("data_identifier")
        if shared and not same_spacing(own.get("spacing", ()), theirs.get("spacing", ())):
            return (
                f"Configuration {configuration_name} has spacing {list(own['spacing'])} but the data_identifier "
                f"{own['data_identifier']} of {ancestor}, whose data have spacing {list(theirs['spacing'])}. Give it a "
                f"data_identifier of its own and run nnUNetv2_preprocess -c {configuration_name}, or remove its spacing."
            )
    return None


def borrowed_data_problem(plans: Mapping[str, Any], configuration_name: str, source: Mapping[str, Any]) -> str | None:
    """What is wrong with the data that a configuration names, if they are those of the plans that it was made from.

    Args:
        source: the content of those plans.
    """
    own = resolve(plans, configuration_name)
    of_source = {name: resolve(source, name) for name in source["configurations"]}
    owners = {name: one for name, one in of_source.items() if one.get("data_identifier") == own.get("data_identifier")}
    if not owners or any(same_spacing(own.get("spacing", ()), one.get("spacing", ())) for one in owners.values()):
        return None
    spacings = " and ".join(f"{list(one['spacing'])} ({name})" for name, one in owners.items())
    return f"data_identifier = {own['data_identifier']} names data whose spacing is {spacings}, here {list(own['spacing'])}"


def same_spacing(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two spacings agree along every axis."""
    return len(one) == len(other) and all(isclose(a, b, rel_tol=1e-5) for a, b in zip(one, other, strict=True))


def resampled_shape(shape: Sequence[float], spacing: Sequence[float], new_spacing: Sequence[float]) -> list[float]:
    """The shape of a volume at another spacing, in whole voxels."""
    return [float(round(n * old / new)) for n, old, new in zip(shape, spacing, new_spacing, strict=True)]
