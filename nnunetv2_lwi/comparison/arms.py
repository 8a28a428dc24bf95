"""The ways to start step 2 that a comparison sets against each other."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nnunetv2_lwi.comparison.sweep import HAND_OVER, LENGTH_OF_STEP1, Variant, is_of_step2
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.recipes import PAPER, PAPERS_VALUES
from nnunetv2_lwi.planning.settings import INITIALIZATIONS, OF_SCANS_WITHOUT_LABELS, LWISettings

ALL_IMAGES = "_all"
"""At the end of an arm's name: step 1 sees every training image, labelled or not."""
WITH_SCANS = "_unlabelled"
"""At the end of an arm's name: step 1 sees scans without labels beside the labelled images."""
PRETRAINED = "pretrained:"
RANDOM = "random"
LONGER = "random_longer"
"""Random weights, and as many epochs as both steps of the others together."""

OBJECTIVES: dict[str, dict[str, Any]] = {
    "lwi": {},
    "mask": {"order_weight": 0.0, "masking.strategy": "random"},
    "tube": {"order_weight": 0.0, "masking.strategy": "tube"},
    "order": {"order_weight": 1.0, "reconstruction_weight": 0.0},
    "paper": {"recipe": PAPER, **PAPERS_VALUES},
}
"""Step 1's, by name: the plan's, its masking alone, masking in tubes, its order prediction alone (as in the paper's
Table VI), and the paper's, handed over whole."""

WITHOUT = {"order_weight": ("order_", "num_subvolumes"), "reconstruction_weight": ("masking.", "reconstruction_")}
"""Where a weight is 0, what begins so changes nothing: nothing is shuffled, or nothing is masked."""

SCHEMES = tuple(name for name in INITIALIZATIONS if name != "network")
"""Data-independent initialisation (paper, Fig. 1)."""


@dataclass(frozen=True)
class Arm:
    """One way to start.

    Attributes:
        settings: of the ``lwi`` block, by dotted key, over the plan's.
        runs_step1: whether there is a step 1.
        sees_all_images: whether step 1 sees all training images, not only the labelled ones.
        sees_scans: whether step 1 sees scans without labels.
        weights: a checkpoint for ``-pretrained_weights``.
        has_step1_epochs: whether step 2 has step 1's epochs on top of its own.
        weights_of_plan: of step 1's losses, where neither a variant nor the arm says otherwise.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    runs_step1: bool = False
    sees_all_images: bool = False
    sees_scans: bool = False
    weights: Path | None = None
    has_step1_epochs: bool = False
    weights_of_plan: Mapping[str, float] = field(default_factory=dict)

    def takes(self, variant: Variant) -> Variant:
        """What of a variant changes the arm's trainings; what the arm itself sets does not."""
        weights = {**self.weights_of_plan, **variant, **self.settings}
        without = [key for name, keys in WITHOUT.items() if weights.get(name) == 0 for key in keys]
        taken = (key for key in variant if key not in self.settings and self._depends_on(key, without))
        return {key: variant[key] for key in taken}

    def _depends_on(self, key: str, without: Sequence[str]) -> bool:
        if self.has_step1_epochs and key == LENGTH_OF_STEP1:
            return True
        if not self.runs_step1:
            return is_of_step2(key) or (self.weights is not None and key.startswith(HAND_OVER))
        return key in WITHOUT or not key.startswith(tuple(without))


def known_arms() -> list[str]:
    """Every name, one of them standing for a file."""
    with_more = (f"{name}{more}" for more in (ALL_IMAGES, WITH_SCANS) for name in OBJECTIVES)
    return [RANDOM, LONGER, *OBJECTIVES, *with_more, *SCHEMES, f"{PRETRAINED}FILE"]


def parse_arms(names: Sequence[str], plan: LWISettings | None = None) -> list[Arm]:
    """Each name's arm, in the order given.

    Args:
        plan: whose weights of the losses hold where an arm does not set them.

    Raises:
        UserError: a name is unknown or given twice, or a file is missing.
    """
    if len(set(names)) < len(names) or not names:
        raise UserError(f"--arms {','.join(names)}: name each arm once, and at least one.")
    weights = {} if plan is None else {name: getattr(plan, name) for name in WITHOUT}
    return [replace(_parse(name), weights_of_plan=weights) for name in names]


def _parse(name: str) -> Arm:
    if name.startswith(PRETRAINED):
        path = Path(name.removeprefix(PRETRAINED)).absolute()
        if not path.is_file():
            raise UserError(f"--arms {name}: there is no file {path}.")
        return Arm(name, {"seg.start": "random"}, weights=path)
    if name in (RANDOM, LONGER):
        return Arm(name, {"seg.start": "random"}, has_step1_epochs=name == LONGER)
    if name in SCHEMES:
        return Arm(name, {"seg.start": "random", "seg.initialization": name})
    more = next((suffix for suffix in (ALL_IMAGES, WITH_SCANS) if name.endswith(suffix)), "")
    objective = name.removesuffix(more)
    if objective not in OBJECTIVES:
        near = difflib.get_close_matches(name, known_arms(), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"--arms: there is no arm {name}.{hint} Arms: {', '.join(known_arms())}.")
    start = {"seg.start": "step1", "seg.initialization": "network"}
    sees_scans = more == WITH_SCANS
    alone = {} if sees_scans else {f"init.{key}": None for key in OF_SCANS_WITHOUT_LABELS}
    return Arm(name, {**OBJECTIVES[objective], **start, **alone}, True, more == ALL_IMAGES, sees_scans)
