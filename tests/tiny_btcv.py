"""BTCV's layout as downloaded, with tiny generated volumes in place of the scans."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

SHAPE = (12, 20, 18)
SPACING = (0.8, 0.8, 3.0)
"""(x, y, z), in mm."""
ORGANS = 13


def write_volume(path: Path, voxels: np.ndarray[Any, Any], **geometry: Any) -> Path:
    """Write (D, H, W); ``geometry`` as in SimpleITK: Spacing, Origin, Direction."""
    volume = sitk.GetImageFromArray(voxels)
    for name, value in ({"Spacing": SPACING} | geometry).items():
        getattr(volume, f"Set{name}")(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(volume, str(path), True)
    return path


def draw_label(number: int) -> np.ndarray[Any, Any]:
    """(D, H, W): every organ as a cube, in other places from case to case."""
    label = np.zeros(SHAPE, np.uint8)
    for organ in range(1, ORGANS + 1):
        z, y, x = 4 * (organ % 3), 4 * (organ // 3), (5 * organ + number) % 12
        label[z : z + 4, y : y + 4, x : x + 6] = organ
    return label


def write_tiny_btcv(root: Path, training: Iterable[int], test: Iterable[int] = ()) -> Path:
    """Cases by their numbers in ``root``/Training and ``root``/Testing; organs differ in brightness."""
    for number in training:
        rng = np.random.default_rng(number)
        label = draw_label(number)
        image = (60 * label.astype(np.int16) - 100 + rng.normal(0, 20, SHAPE)).astype(np.int16)
        write_volume(root / "Training" / "img" / f"img{number:04d}.nii.gz", image)
        write_volume(root / "Training" / "label" / f"label{number:04d}.nii.gz", label)
    for number in test:
        write_volume(root / "Testing" / "img" / f"img{number:04d}.nii.gz", np.zeros(SHAPE, np.int16))
    return root
