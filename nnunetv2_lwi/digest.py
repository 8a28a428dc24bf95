"""What the weights of a step 1 depend on, so that a stale one is told from a fresh one by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnunetv2_lwi.checkpoint import plain
from nnunetv2_lwi.settings import LWISettings, flatten

Digest = dict[str, Any]


def make_digest(configuration: Mapping[str, Any], image_channels: int, settings: LWISettings) -> Digest:
    """Architecture, patch, spacing, number of image channels and step 1's settings, as plain values.

    Args:
        configuration: a resolved configuration of a plans file.
    """
    digest: Digest = plain(
        {
            "architecture": configuration["architecture"],
            "patch_size": list(configuration["patch_size"]),
            "spacing": list(configuration["spacing"]),
            "image_channels": image_channels,
            "lwi": settings.step1(),
        }
    )
    return digest


def differing_keys(theirs: Digest, ours: Digest) -> list[str]:
    """One text per key in which two digests differ: ``key: theirs, here ours``."""
    there, here = flatten(theirs), flatten(ours)
    return [
        f"{key}: {there.get(key)!r}, here {here.get(key)!r}"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]
