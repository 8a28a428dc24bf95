"""What preprocessed scans depend on, comparable with what a journal gives back."""

from __future__ import annotations

import json

from nnunetv2_lwi.unlabelled.preparation import made_for

CONFIGURATION = {"spacing": (2.0, 1.0, 1.0), "normalization_schemes": ["CTNormalization"], "batch_size": 2}


def plans(mean: float) -> dict:
    return {"transpose_forward": [0, 1, 2], "foreground_intensity_properties_per_channel": {"0": {"mean": mean}}, "x": 1}


def test_it_equals_what_is_read_back_also_where_intensities_are_none():
    for mean in (0.1 + 0.2, float("nan"), float("-inf")):
        made = made_for(plans(mean), CONFIGURATION)
        assert json.loads(json.dumps(made)) == made == made_for(plans(mean), {**CONFIGURATION, "batch_size": 4})


def test_other_intensities_or_spacing_are_another_preparation():
    made = made_for(plans(1.0), CONFIGURATION)
    assert made != made_for(plans(2.0), CONFIGURATION)
    assert made != made_for(plans(1.0), {**CONFIGURATION, "spacing": (2.0, 1.0, 1.5)})
