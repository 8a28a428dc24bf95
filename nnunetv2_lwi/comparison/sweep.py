"""``--sweep masking.ratio=0.2,0.4``: settings that take several values in turn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from typing import Any

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.settings import LWISettings, as_json, flatten

Variant = dict[str, Any]
"""Values by dotted key of the ``lwi`` block."""

OF_BOTH_STEPS = ("seg.", "iterations_per_epoch", "val_iterations_per_epoch", "augmentation_device")
"""What a training without step 1 depends on, but for what is handed over."""

HAND_OVER = "seg.hand_over"
"""Begins the keys of what a random start does not take."""


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
        raise UserError(f"--sweep {text} is not of the form key=value,value, for example masking.ratio=0.2,0.4,0.6.")
    known = flatten(as_json(LWISettings()))
    if key not in known or key in ("seed", "seg.start", "seg.initialization"):
        raise UserError(
            f"--sweep {text}: {key} cannot be swept. Settings: {', '.join(known)}; seeds and starts are arms' affair."
        )
    try:
        return key, json.loads(f"[{values}]")
    except ValueError:
        return key, [word.strip() for word in values.split(",")]


def matters_without_step1(variant: Variant) -> Variant:
    """What of a variant changes a training that has no step 1."""
    return {key: value for key, value in variant.items() if key.startswith(OF_BOTH_STEPS) and not key.startswith(HAND_OVER)}


def describe(variant: Variant) -> str:
    """``masking.ratio=0.2``; empty without a sweep."""
    return " ".join(f"{key}={json.dumps(value).replace(' ', '')}" for key, value in variant.items())
