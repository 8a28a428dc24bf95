"""What the weights of a step 1 depend on, so that a stale one is told from a fresh one by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnunetv2_lwi.handover.plain import plain
from nnunetv2_lwi.planning.recipes import PAPERS_VALUES
from nnunetv2_lwi.planning.settings import REMOVED, LWISettings, flatten

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


def changed_step2(state: Mapping[str, Any], digest: Digest, settings: LWISettings) -> list[str]:
    """One text per setting in which a plan differs from what a checkpoint of step 2 was trained with.

    Step 1's settings count only where that training, and this plan, start from a step 1 that they find themselves.

    Args:
        state: what is ours in the checkpoint.
        digest: the plan's.
    """
    found = state["start"]["kind"] == "step1" and settings.seg.start == "step1"
    return differing_keys(
        _record(state["digest"], state.get("step2", settings.step2()), found), _record(digest, settings.step2(), found)
    )


def _record(digest: Digest, step2: Mapping[str, Any], with_step1: bool) -> Digest:
    return {**digest, "lwi": {**(digest["lwi"] if with_step1 else {}), **step2}}


def differing_keys(theirs: Digest, ours: Digest) -> list[str]:
    """One text per key in which two digests differ: ``key: theirs, here ours``."""
    there, here = flatten(theirs), flatten(ours)
    pairs = {key: (_value(there, key), _value(here, key)) for key in sorted(there.keys() | here.keys())}
    return [f"{key}: {one!r}, here {other!r}" for key, (one, other) in pairs.items() if one != other]


def _value(flat: Mapping[str, Any], key: str) -> Any:
    """A setting that a version did not know was as it is here."""
    return flat.get(key, BEFORE_THEY_WERE_SETTINGS.get(key))


BEFORE_THEY_WERE_SETTINGS = {
    **{f"lwi.{key}": PAPERS_VALUES[key] for key in ("reconstruction_outputs", "order_heads")},
    **REMOVED,
}
