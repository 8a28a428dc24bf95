"""About how much room preprocessed scans take."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from nnunetv2_lwi.nnunet.inheritance import resolve
from nnunetv2_lwi.nnunet.target import Target
from nnunetv2_lwi.unlabelled.folder import own_identifier

BYTES_OF_A_VOXEL = 4
LOOKED_AT = 50
"""Cases."""


def bytes_per_scan(target: Target) -> float | None:
    """What labelled cases take, or, without any, the median image, uncompressed; None if neither is known."""
    configuration = resolve(target.plans, target.configuration)
    folder = target.plans_file.parent / own_identifier(configuration["data_identifier"])
    return _mean_case(folder) or _median_image(configuration)


def _mean_case(folder: Path) -> float | None:
    cases = sorted(folder.glob("*.pkl"))[:LOOKED_AT] if folder.is_dir() else []
    sizes = [path.stat().st_size for case in cases for path in folder.glob(f"{_escaped(case.stem)}[._]*")]
    return sum(sizes) / len(cases) if cases else None


def _escaped(name: str) -> str:
    return name.replace("[", "[[]")


def _median_image(configuration: dict[str, Any]) -> float | None:
    shape = configuration.get("median_image_size_in_voxels")
    return None if shape is None else prod(shape) * BYTES_OF_A_VOXEL * len(configuration["normalization_schemes"])
