"""What preprocessed scans depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnunetv2_lwi.planning.application import DATA_KEYS

OF_THE_PLANS = ("transpose_forward", "image_reader_writer", "foreground_intensity_properties_per_channel")
"""Beyond the configuration."""


def made_for(plans: Mapping[str, Any], configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What of a plan it is.

    Args:
        configuration: resolved.
    """
    of_configuration = {key: configuration[key] for key in DATA_KEYS if key in configuration}
    return of_configuration | {key: plans[key] for key in OF_THE_PLANS if key in plans}
