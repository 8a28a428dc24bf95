"""Names of classes, as dataset.json has them, for what nnU-Net keeps by number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnunetv2_lwi.datasets.dice import keys_by_name

IGNORE = "ignore"


def class_names(dataset_json: Mapping[str, Any], number: int) -> list[str]:
    """Of the classes in the order of nnU-Net's outputs; numbers where dataset.json does not have as many."""
    labels = dataset_json.get("labels")
    known = _foreground(labels) if isinstance(labels, Mapping) else []
    return known if len(known) == number else [f"class {n + 1}" for n in range(number)]


def _foreground(labels: Mapping[str, Any]) -> list[str]:
    """Regions in the order of the file; labels in that of their numbers."""
    names = [name for name, value in labels.items() if name != IGNORE and value not in (0, "0", [0])]
    if any(isinstance(value, (list, tuple)) for value in labels.values()):
        return names
    return sorted(names, key=lambda name: int(labels[name]) if str(labels[name]).isdecimal() else 0)


def keys_of_summary(summary: Mapping[str, Any], dataset_json: Mapping[str, Any]) -> dict[str, str]:
    """The key of each class in nnU-Net's summary.json, by name; by itself where dataset.json cannot be read."""
    try:
        return keys_by_name(summary, dataset_json["labels"])
    except (KeyError, TypeError, ValueError, AttributeError):
        mean = summary.get("mean")
        return {str(key): str(key) for key in mean} if isinstance(mean, Mapping) else {}
