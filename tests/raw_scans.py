"""Raw scans without labels, written as users have them, beside the tiny data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_lwi.unlabelled.preprocessing import Preparation
from tests.tiny_dataset import NAME, Options, TinyDataset, make_case

SPACING = (2.0, 1.0, 1.0)
"""(D, H, W) in mm, the tiny data set's."""


def write_raw(
    folder: Path, name: str, image: np.ndarray, spacing: tuple[float, ...] = SPACING, ending: str = ".nii.gz"
) -> None:
    """Write an image (C, D, H, W), a file a channel."""
    folder.mkdir(parents=True, exist_ok=True)
    for channel, volume in enumerate(image):
        file = sitk.GetImageFromArray(volume)
        file.SetSpacing(spacing[::-1])
        sitk.WriteImage(file, str(folder / f"{name}_{channel:04d}{ending}"))


def raw_image(number: int, channels: int = 1) -> np.ndarray:
    """(C, D, H, W), zero at one side, which preprocessing crops, and in a corner, which it marks."""
    image, _ = make_case(number, Options(channels=channels, shape=(12, 19, 21)))
    image[..., :3] = 0
    image[:, :4, :6, 15:] = 0
    return image


@dataclass(frozen=True)
class RawDataset:
    """The tiny data set with its raw folder."""

    dataset: TinyDataset
    folder: Path

    @property
    def scans(self) -> Path:
        """imagesUn."""
        return self.folder / "imagesUn"

    @property
    def channels(self) -> int:
        """C."""
        return len(self.dataset.dataset_json["channel_names"])

    def add(self, *numbers: int, part: str = "imagesUn") -> None:
        """Write scans, called ``scan_<number>``."""
        for number in numbers:
            write_raw(self.folder / part, f"scan_{number}", raw_image(number, self.channels))

    def preparation(self, **changed: object) -> Preparation:
        """What ``nnUNetv2_lwi unlabelled`` makes of it."""
        values = {
            "plans": self.dataset.plans,
            "configuration": "3d_fullres",
            "dataset_json": self.dataset.dataset_json,
            "channels": self.channels,
            "folder": self.dataset.scans,
            "test_images": {},
            "allows_test_images": False,
        }
        return Preparation(**{**values, **changed})  # type: ignore[arg-type]


def make_raw_dataset(dataset: TinyDataset, root: Path) -> RawDataset:
    """The raw folder of a tiny data set, below ``root``, with its dataset.json and no image."""
    folder = root / NAME
    (folder / "imagesTr").mkdir(parents=True)
    save_json(dataset.dataset_json, str(folder / "dataset.json"))
    return RawDataset(dataset, folder)
