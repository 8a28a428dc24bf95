"""Channels that nothing normalises, and how far their values reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNCHANGED = "NoNormalization"
LARGE = 100.0
"""Normalised images have a deviation of about 1; from here on the reconstruction's squared error drowns all else."""


def warnings_of_intensities(plans: Mapping[str, Any], configuration: Mapping[str, Any]) -> list[str]:
    """One text per such channel whose values, as nnU-Net's fingerprint has them, are large.

    Args:
        configuration: resolved.
    """
    properties: Mapping[str, Any] = plans.get("foreground_intensity_properties_per_channel") or {}
    found = []
    for channel, scheme in enumerate(configuration["normalization_schemes"]):
        reach = _reach(properties.get(str(channel)))
        if scheme == UNCHANGED and reach > LARGE:
            found.append(
                f"channel {channel} is not normalised ({scheme} in the plan) and its values reach {reach:.3g}: losses and "
                "gradients grow with them, until they are infinite. Name the channel otherwise in dataset.json than noNorm, "
                "and plan and preprocess again."
            )
    return found


def _reach(properties: Any) -> float:
    if not isinstance(properties, Mapping):
        return 0.0
    ends = (properties.get(f"percentile_{percentile}", 0.0) for percentile in ("00_5", "99_5"))
    return max(abs(float(end)) for end in ends)
