"""What is not given away: the names of cases, which may be those of patients, what their images show, paths of a machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OF_DESCRIPTION = (
    "channel_names", "modality", "labels", "regions_class_order", "file_ending", "overwrite_image_reader_writer",
    "numTraining", "name", "description", "reference", "licence", "license", "release", "tensorImageSize",
)  # fmt: skip
"""Of dataset.json what nnU-Net reads, and what it writes of the data set as a whole; other keys may name cases."""
FILES_OF_A_CASE = ("prediction_file", "reference_file")
"""Of nnU-Net's summary.json."""
NAMES_OF_IMAGES = ("cases", "test_images")
"""Of a provenance."""


def description(dataset_json: Mapping[str, Any]) -> dict[str, Any]:
    """dataset.json without lists of files, whatever they are called: channels, labels, file ending."""
    return {key: value for key, value in dataset_json.items() if key in OF_DESCRIPTION}


def scores(summary: Mapping[str, Any]) -> dict[str, Any]:
    """nnU-Net's summary.json with the figures of each case, but without its files."""
    cases = [_without(case, FILES_OF_A_CASE) for case in summary.get("metric_per_case", [])]
    return {**summary, "metric_per_case": cases}


def provenance(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Where a step 1 comes from, and of how many cases instead of which."""
    return {**_without(origin, NAMES_OF_IMAGES), "number_of_cases": len(origin.get("cases", []))}


def start(origin: Mapping[str, Any]) -> dict[str, Any]:
    """What a training started from, without the path of its file."""
    nameless = _without(origin, ("path",))
    if "provenance" in nameless:
        nameless["provenance"] = provenance(nameless["provenance"])
    return nameless


def _without(content: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in keys}
