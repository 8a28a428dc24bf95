"""What preprocessed scans depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nnunetv2_lwi.planning.application import DATA_KEYS

OF_THE_PLANS = ("transpose_forward", "image_reader_writer", "foreground_intensity_properties_per_channel")
"""Beyond the configuration."""


def made_for(plans: Mapping[str, Any], configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What of a plan it is, as JSON gives it back; NaN, which nnU-Net writes for data without foreground, as a word.

    Args:
        configuration: resolved.
    """
    of_configuration = {key: configuration[key] for key in DATA_KEYS if key in configuration}
    plain = json.dumps(of_configuration | {key: plans[key] for key in OF_THE_PLANS if key in plans})
    made: dict[str, Any] = json.loads(plain, parse_constant=str)
    return made
