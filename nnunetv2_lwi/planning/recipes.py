"""What a plan leaves open is decided here, from the patch and the median image: by the measured recipe or the paper's.

As nnU-Net's paper sorts its own parameters, a value is *fixed* (the same for all), *rule-based* (from the plan), and the
evidence for both is in docs/reference/settings.md. A setting is open where the plan has no value or null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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


@dataclass(frozen=True)
class Geometry:
    """What rules decide by: (D, H, W) of the patch and of the median image, in voxels; None where the plan lacks it."""

    patch: tuple[int, ...] | None
    median: tuple[float, ...] | None

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> Geometry:
        """Of a resolved configuration."""
        patch, median = (configuration.get(key) for key in ("patch_size", "median_image_size_in_voxels"))
        return cls(_edges(patch), _edges(median))

    @property
    def coverage(self) -> float | None:
        """Patch depth over the median image's: how much of what lies before and behind a slab a patch shows."""
        return None if self.patch is None or self.median is None else self.patch[0] / self.median[0]


Rule = Callable[[Geometry], tuple[Any, str]]


def decide(key: str, recipe: str, geometry: Geometry) -> Decision:
    """What an open setting is.

    Args:
        key: one of :data:`PAPERS_VALUES`.
        recipe: one of :data:`RECIPES`.
    """
    if recipe == PAPER:
        return Decision(key, PAPERS_VALUES[key], "the paper's")
    return Decision(key, *MEASURED_RULES[key](geometry))


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
    """What to add to advice about settings that differ, where one of them was the paper's in earlier versions.

    Args:
        differences: texts that begin with a dotted key of the plan.
    """
    if not any(difference.startswith(("lwi.order_heads: ", "lwi.reconstruction_outputs: ")) for difference in differences):
        return ""
    return ' ("recipe": "paper" in the lwi block keeps what earlier versions took where a plan says nothing)'


def _edges(value: Any) -> tuple[Any, ...] | None:
    """Three numbers above 0, or None."""
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return None
    return tuple(value) if all(isinstance(edge, (int, float)) and edge > 0 for edge in value) else None


def _fixed(value: Any) -> Rule:
    return lambda geometry: (value, "fixed")


def _order_weight(geometry: Geometry) -> tuple[Any, str]:
    """Where a patch is about as deep as the image, a slab's place is given away by what it shows."""
    coverage = geometry.coverage
    if coverage is None:
        return PAPERS_VALUES["order_weight"], "the paper's, as the plan has no median_image_size_in_voxels"
    deep = f"the patch is {coverage:.2f} times as deep as the median image"
    return (0.1, f"{deep}, below {COVERED}") if coverage < COVERED else (0.0, f"{deep}, at least {COVERED}")


COVERED = 0.75
"""Coverage from which the order is not predicted."""

MEASURED_RULES: dict[str, Rule] = {
    "order_weight": _order_weight,
    "order_heads": _fixed("mlp"),
    "reconstruction_outputs": _fixed("all"),
    "seg.hand_over": _fixed("encoder"),
}
