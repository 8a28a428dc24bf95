"""What ``dataset.json`` says, by its newer and its older keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHANNELS = ("modality", "channel_names")
"""nnU-Net also takes the older one."""


def channel_names(dataset_json: Mapping[str, Any]) -> dict[str, str]:
    """Name of each image channel, by its number as text."""
    names: dict[str, str] = next(dataset_json[key] for key in CHANNELS if key in dataset_json)
    return names
