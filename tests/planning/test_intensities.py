"""Channels that nothing normalises."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.planning.intensities import warnings_of_intensities

HUGE = {"percentile_00_5": 9e5, "percentile_99_5": 2.6e6}
SMALL = {"percentile_00_5": -1.0, "percentile_99_5": 1.0}


@pytest.mark.parametrize(
    ("schemes", "properties", "channels"),
    [
        (["NoNormalization"], {"0": HUGE}, [0]),
        (["NoNormalization"], {"0": {"percentile_00_5": -1e4, "percentile_99_5": 0.0}}, [0]),
        (["NoNormalization"], {"0": SMALL}, []),
        (["ZScoreNormalization"], {"0": HUGE}, []),
        (["ZScoreNormalization", "NoNormalization"], {"0": SMALL, "1": HUGE}, [1]),
        (["NoNormalization"], {}, []),
        (["NoNormalization"], None, []),
    ],
)
def test_only_large_values_that_stay_as_they_are_are_told(schemes, properties, channels):
    plans = {"foreground_intensity_properties_per_channel": properties}
    told = warnings_of_intensities(plans, {"normalization_schemes": schemes})
    assert [text.split(" is not normalised")[0] for text in told] == [f"channel {channel}" for channel in channels]
