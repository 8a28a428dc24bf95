"""With which settings a run was trained: the ``lwi`` block as decided, the reasons, and the plan around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.recipes import Decision
from nnunetv2_lwi.planning.settings import LWISettings, as_json, decisions, flatten
from nnunetv2_lwi.report.markup import Html, facts, folded, joined, paragraph, shown, table

OF_THE_PLAN = ("spacing", "patch_size", "batch_size", "median_image_size_in_voxels", "normalization_schemes", "batch_dice")
"""Shown at once; the rest on demand."""


DECISION = re.compile(r"lwi\.(\S+) = (.*?): (.*)")
"""A line of what the plan left open, as a checkpoint has it: setting, value, reason."""


def settings_of(configuration: Mapping[str, Any], told: Sequence[str] = ()) -> Html:
    """Of a resolved configuration.

    Args:
        told: what was decided when the run was trained, as its checkpoints have it; another version may decide otherwise.
    """
    if not configuration:
        return paragraph("The plans of this run are not in its folder, nor in a checkpoint.")
    plan = {key: value for key, value in configuration.items() if key != "lwi"}
    network = flatten({"architecture": plan.get("architecture", {})})
    shown_at_once = {key: plan[key] for key in OF_THE_PLAN if key in plan}
    shown_at_once |= {"network": network.get("architecture.network_class_name")}
    return joined(
        _block(configuration, told),
        facts("The plan's configuration", shown_at_once),
        folded("The whole configuration", facts("Every value of the plan's configuration", flatten(plan))),
    )


def _block(configuration: Mapping[str, Any], told: Sequence[str]) -> Html:
    """Every setting as it was decided, and who decided it."""
    try:
        decided = {one.key: one for one in decisions(configuration)} | _as_told(told)
        settings = flatten(as_json(LWISettings.from_configuration(configuration)))
        settings |= {key: one.value for key, one in decided.items() if key in settings}
    except UserError as error:
        written = flatten({"lwi": configuration.get("lwi")})
        return joined(
            paragraph("This version cannot read the plan's lwi block, which is shown as it is: ", error.reason),
            facts("The lwi block", written),
        )
    block = configuration.get("lwi", {})
    there = flatten(block) if isinstance(block, Mapping) else {}
    rows: list[list[Any]] = [["setting", "value", "from"]]
    for key, value in settings.items():
        if key in decided:
            source = f"decided: {decided[key].reason}"
        else:
            source = "the plan" if there.get(key) is not None else "default"
        rows.append([f"lwi.{key}", shown(value), source])
    reasons = [
        ["setting", "value", "reason"],
        *([f"lwi.{one.key}", shown(one.value), one.reason] for one in decided.values()),
    ]
    return joined(
        table("What the plan left open, decided", reasons) if decided else paragraph("The plan left nothing open."),
        folded(f"All {len(settings)} settings of the lwi block", table("The lwi block as decided", rows)),
    )


def _as_told(lines: Iterable[str]) -> dict[str, Decision]:
    """What the lines of a checkpoint say, by setting."""
    matches = filter(None, map(DECISION.fullmatch, map(str, lines)))
    return {match[1]: Decision(match[1], match[2], match[3]) for match in matches}
