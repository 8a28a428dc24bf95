"""``--sweep masking.ratio=0.2,0.4``: settings that take several values in turn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from typing import Any

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.recipes import PAPERS_VALUES
from nnunetv2_lwi.planning.settings import LWISettings, as_json, flatten

Variant = dict[str, Any]
"""Values by dotted key of the ``lwi`` block."""

OF_STEP2 = ("seg.", "iterations_per_epoch", "val_iterations_per_epoch")
"""Begin the keys of what step 2 depends on."""

HAND_OVER = "seg.hand_over"
"""Begins the keys of what only weights that come from elsewhere depend on."""

LENGTH_OF_STEP1 = "init.epochs"
SHARE_OF_SCANS = "init.unlabelled"

NOT_SWEPT = ("recipe", "seed", "seg.start", "seg.initialization", "augmentation_device")
"""Recipes, seeds and starts are arms' affair, and the device does not change what is trained."""


def parse_sweeps(texts: Sequence[str]) -> list[Variant]:
    """Every combination of the values; without a sweep, one empty variant.

    Raises:
        UserError: not of the form key=value,value, or there is no such setting.
    """
    swept = [_parse(text) for text in texts]
    keys = [key for key, _ in swept]
    if len(set(keys)) < len(keys):
        raise UserError(f"--sweep names {', '.join(keys)}: name each setting once.")
    return [dict(zip(keys, values, strict=True)) for values in product(*(values for _, values in swept))]


def _parse(text: str) -> tuple[str, list[Any]]:
    key, equals, values = (part.strip() for part in text.partition("="))
    key = key.removeprefix("lwi.")
    if not equals:
        raise UserError(f"--sweep {text} is not of the form key=value,value, for example lwi.masking.ratio=0.2,0.4,0.6.")
    known = flatten(as_json(LWISettings()))
    if key not in known or key in NOT_SWEPT:
        settings = ", ".join(name for name in known if name not in NOT_SWEPT)
        raise UserError(
            f"--sweep {text}: {key} cannot be swept. Settings: {settings}; starts and the paper's "
            "recipe are arms, seeds have --seeds."
        )
    if not all(value.strip() for value in values.split(",")):
        raise UserError(
            f"--sweep {text}: a value is missing. Write key=value,value, for example lwi.masking.ratio=0.2,0.4,0.6."
        )
    try:
        read = json.loads(f"[{values}]")
    except ValueError:
        read = [word.strip() for word in values.split(",")]
    if key in PAPERS_VALUES and any(value in (None, "null") for value in read):
        raise UserError(f"--sweep {text}: null leaves {key} to the recipe. Name the values (nnUNetv2_lwi plan shows them).")
    return key, read


def is_of_step2(key: str) -> bool:
    """Whether a setting is step 2's own, whatever it starts from."""
    return key.startswith(OF_STEP2) and not key.startswith(HAND_OVER)


def of_step2(variant: Variant) -> Variant:
    """What of a variant is step 2's own."""
    return {key: value for key, value in variant.items() if is_of_step2(key)}


def describe(variant: Variant) -> str:
    """``masking.ratio=0.2``; empty without a sweep."""
    return " ".join(f"{key}={json.dumps(value).replace(' ', '')}" for key, value in variant.items())
