"""What a plan leaves open is decided here: by the measured recipe or the paper's.

As nnU-Net's paper sorts its own parameters, every value is *fixed*, the same for all data sets; the evidence is in
docs/reference/settings.md. A setting is open where the plan has no value or null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MEASURED, PAPER = "measured", "paper"
RECIPES = (MEASURED, PAPER)

PAPERS_VALUES: dict[str, Any] = {
    "order_weight": 1.0,
    "order_heads": "linear",
    "reconstruction_outputs": "full_resolution",
    "seg.hand_over": "network",
}
"""By dotted key of the ``lwi`` block: every setting that can be left open."""

MEASURED_VALUES: dict[str, Any] = {
    "order_weight": 0.0,
    "order_heads": "mlp",
    "reconstruction_outputs": "all",
    "seg.hand_over": "encoder",
}
"""Of the same settings, what did best where it was measured."""

ORDER_BEFORE = "lwi.order_weight: 0.1, here 0.0"
"""How a step 1 differs whose plan left the order to the measured recipe while that predicted it."""

WRITTEN_OUT_BEFORE = ("masking.ratio", "masking.patch_size", "order_weight")
"""Earlier versions wrote all of these into a block, with the paper's method for everything else."""


@dataclass(frozen=True)
class Decision:
    """A setting that the plan leaves open, what it is, and why."""

    key: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"lwi.{self.key} = {self.value}: {self.reason}"


def decide(key: str, recipe: str) -> Decision:
    """What an open setting is.

    Args:
        key: one of :data:`PAPERS_VALUES`.
        recipe: one of :data:`RECIPES`.
    """
    if recipe == PAPER:
        return Decision(key, PAPERS_VALUES[key], "the paper's")
    return Decision(key, MEASURED_VALUES[key], "as measured")


def recipe_of(written: Mapping[str, Any]) -> str:
    """The recipe of a block, by what it writes out, dotted.

    A block without ``recipe`` that writes out all of :data:`WRITTEN_OUT_BEFORE` is an earlier version's and keeps the
    paper's method, which it was written for.
    """
    named = written.get("recipe")
    if named in RECIPES:
        return str(named)
    return PAPER if all(written.get(key) is not None for key in WRITTEN_OUT_BEFORE) else MEASURED


def way_back(differences: Iterable[str]) -> str:
    """What to add to advice about settings that differ, where earlier versions took another value for an open one.

    Args:
        differences: texts that begin with a dotted key of the plan.
    """
    differences = list(differences)
    if any(difference.startswith(("lwi.order_heads: ", "lwi.reconstruction_outputs: ")) for difference in differences):
        return ' ("recipe": "paper" in the lwi block keeps what earlier versions took where a plan says nothing)'
    if ORDER_BEFORE in differences:
        return ' ("order_weight": 0.1 in the lwi block keeps what earlier versions took where a plan says nothing)'
    return ""
