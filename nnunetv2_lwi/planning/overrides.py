"""``--set lwi.init.epochs=50``: single values of a configuration, by their dotted key."""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.settings import EDGES, POSITIVE, LWISettings, Rule, as_json, flatten, whole_number

Overrides = dict[str, Any]

ARCH_KWARGS = "architecture.arch_kwargs"
GIVEN_BY_NNUNET = ("self", "input_channels", "num_classes", "deep_supervision")

RULES = {
    "patch_size": EDGES,
    "batch_size": whole_number(1),
    "spacing": Rule(
        "three numbers above 0, or null to keep the parent's",
        lambda value: value is None or (isinstance(value, list) and len(value) == 3 and all(map(POSITIVE.holds, value))),
    ),
}
"""What the values of a configuration's own keys must be; those of ``lwi`` have their rules in the settings."""


def parse_override(text: str) -> tuple[str, Any]:
    """Key and value of ``key=value``; the value is JSON, and a plain word needs no quotes.

    Raises:
        UserError: there is no ``=``, or the value is no JSON.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key:
        raise UserError(f"--set {text} is not of the form key=value, for example lwi.init.epochs=50.")
    try:
        return key, json.loads(value)
    except ValueError:
        if re.fullmatch(r"[A-Za-z_][\w.-]*", value) and value not in ("True", "False", "None"):
            return key, value
        raise UserError(f"--set {text}: the value is no JSON; write it like 50, 1e-4, true, null, [64,64,64].") from None


def check_overrides(overrides: Overrides, configuration: Mapping[str, Any], network_class: Any) -> None:
    """Stop at a key that the plan would never read, or a value that it cannot take.

    Args:
        overrides: by dotted key.
        configuration: resolved, with the preset's network.
        network_class: takes the keys below ``architecture.arch_kwargs``.

    Raises:
        UserError: names the key, and the nearest one that exists.
    """
    known = known_keys(configuration, network_class)
    for key, value in overrides.items():
        if not any(_reaches(key, other) for other in known):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else f" Known: {', '.join(known)}."
            raise UserError(f"--set {key}: the plan has no such key.{hint}")
        if key in RULES and not RULES[key].holds(value):
            raise UserError(f"--set {key}={json.dumps(value)} is not allowed: it must be {RULES[key].allowed}.")


def known_keys(configuration: Mapping[str, Any], network_class: Any) -> list[str]:
    """Every dotted key that may be set."""
    own = [key for key in configuration if key not in ("architecture", "lwi", "inherits_from")]
    arguments = [name for name in inspect.signature(network_class).parameters if name not in GIVEN_BY_NNUNET]
    architecture = ["architecture.network_class_name", *(f"{ARCH_KWARGS}.{name}" for name in arguments)]
    return [*own, *(f"lwi.{key}" for key in flatten(as_json(LWISettings()))), *architecture]


def set_values(configuration: dict[str, Any], inherited: Mapping[str, Any], values: Overrides) -> None:
    """Set values by dotted key; a block that the configuration lacks is taken over whole from what it inherits.

    (nnU-Net does not merge blocks: a configuration's ``architecture`` or ``lwi`` replaces its parent's.)

    Raises:
        UserError: a key leads below a value that is no block.
    """
    for key, value in values.items():
        *path, last = key.split(".")
        if path and path[0] not in configuration:
            configuration[path[0]] = deepcopy(inherited.get(path[0], {}))
        block = configuration
        for step in path:
            block = block.setdefault(step, {})
            if not isinstance(block, dict):
                raise UserError(f"--set {key}: {step} holds a value and no block of keys.")
        block[last] = value


def get_value(configuration: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """The value at a dotted key."""
    value: Any = configuration
    for step in key.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return default
        value = value[step]
    return value


def parse_overrides(texts: Iterable[str]) -> Overrides:
    """All of them; a later one wins."""
    return dict(map(parse_override, texts))


def _reaches(key: str, known: str) -> bool:
    """Whether a key is a known one, a block of known ones, or lies within one whose keys are the network's affair."""
    within = key.startswith(f"{known}.") and not known.startswith("lwi.")
    return key == known or known.startswith(f"{key}.") or within
