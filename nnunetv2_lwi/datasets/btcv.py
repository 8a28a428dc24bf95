"""BTCV ("Multi-Atlas Labeling Beyond the Cranial Vault", Abdomen; synapse.org, syn3193805) in nnU-Net's raw format.

The download has images and labels side by side, all under four digits:

    RawData/Training/img/img0001.nii.gz
    RawData/Training/label/label0001.nii.gz
    RawData/Testing/img/img0061.nii.gz

A case keeps the name of its image, so that the published splits find it by its digits.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json
from tqdm import tqdm

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.whole_files import problem_of_file

LABELS = {
    "background": 0,
    "spleen": 1,
    "right kidney": 2,
    "left kidney": 3,
    "gallbladder": 4,
    "esophagus": 5,
    "liver": 6,
    "stomach": 7,
    "aorta": 8,
    "inferior vena cava": 9,
    "portal and splenic veins": 10,
    "pancreas": 11,
    "right adrenal gland": 12,
    "left adrenal gland": 13,
}
"""The challenge's order, as github.com/Project-MONAI/research-contributions, UNETR/BTCV/README.md lists it."""

CHANNEL_NAMES = {"0": "CT"}
"""By this name nnU-Net chooses its normalisation for CT."""

FILE_ENDING = ".nii.gz"
CONVERTED_BY = "nnUNetv2_lwi convert_btcv"
OURS = re.compile(r"img[0-9]{4}(_0000)?\.nii\.gz")
"""Names of the files that are written into its folders."""
ROOTS = (".", "RawData", "Abdomen/RawData")
"""Where, from the folder that a user names, Training and Testing may lie."""


@dataclass(frozen=True)
class Download:
    """The files of an unpacked download, by the case's name (img0001).

    Attributes:
        root: the folder with Training and, maybe, Testing.
        images: training images.
        labels: of the same cases.
        test_images: images without labels; none where there is no Testing/img.
    """

    root: Path
    images: dict[str, Path]
    labels: dict[str, Path]
    test_images: dict[str, Path]


def find_download(folder: Path) -> Download:
    """The files of BTCV in or below a folder.

    Raises:
        UserError: the folder, the layout, or the label or image of a case is missing.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: -i names the folder that BTCV's RawData.zip was unpacked to.")
    for root in (folder / place for place in ROOTS):
        images = _numbered_files(root / "Training" / "img", "img")
        labels = _numbered_files(root / "Training" / "label", "label")
        if images and labels:
            _check_same_cases(images, labels)
            return Download(root, images, labels, _numbered_files(root / "Testing" / "img", "img"))
    raise UserError(
        f"{folder} does not hold BTCV as downloaded: looked for Training/img/img0001.nii.gz and "
        f"Training/label/label0001.nii.gz (four digits) in it, in {' and in '.join(ROOTS[1:])}."
    )


def _numbered_files(folder: Path, stem: str) -> dict[str, Path]:
    """Files named like img0001.nii.gz, by the name of their case, img0001; none where there is no folder."""
    pattern = re.compile(rf"{stem}([0-9]{{4}})\.nii\.gz")
    return {f"img{name.group(1)}": path for path in sorted(folder.glob("*")) if (name := pattern.fullmatch(path.name))}


def _check_same_cases(images: Iterable[str], labels: Iterable[str]) -> None:
    without_label = sorted(set(images) - set(labels))
    without_image = sorted(set(labels) - set(images))
    if without_label:
        raise UserError(
            f"Training/label has no label of {', '.join(without_label)}: complete the download, or move its image."
        )
    if without_image:
        raise UserError(
            f"Training/img has no image of {', '.join(without_image)}: complete the download, or move its label."
        )


def check_volumes(download: Download) -> list[str]:
    """Look into every file, before anything is written: whether it is whole, its header, voxels of labels.

    Returns:
        The cases whose image and label have other origins: nnU-Net pairs them voxel by voxel and warns of it too.

    Raises:
        UserError: a file cannot be read or is not 3D, size, spacing or direction of image and label differ, or a label has
            other values than BTCV's.
    """
    for path in download.test_images.values():
        _read_header(path)
        _require_whole(path)
    shifted = []
    for case, image_path in tqdm(download.images.items(), "Checking", disable=None):
        image, label = _read_header(image_path), _read_header(download.labels[case])
        _check_geometry(case, image, label)
        for path in (image_path, download.labels[case]):
            _require_whole(path)
        _check_values(download.labels[case])
        if not np.allclose(image.GetOrigin(), label.GetOrigin(), atol=1e-3):
            shifted.append(case)
    return shifted


def _read_header(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    if reader.GetDimension() != 3:
        raise UserError(f"{path} has {reader.GetDimension()} dimensions: BTCV's volumes have 3.")
    return reader


def _check_geometry(case: str, image: sitk.ImageFileReader, label: sitk.ImageFileReader) -> None:
    for what in ("Size", "Spacing", "Direction"):
        ours, theirs = (getattr(reader, f"Get{what}")() for reader in (image, label))
        if not np.allclose(ours, theirs, atol=1e-4):
            raise UserError(
                f"{case}: {what.lower()} {_rounded(ours)} of the image is not the label's, {_rounded(theirs)}: they do not "
                "lie on one grid, and nnU-Net could not train on them. Download the case again."
            )


def _rounded(values: Iterable[float]) -> str:
    return f"({', '.join(f'{value:.6g}' for value in values)})"


def _require_whole(path: Path) -> None:
    """SimpleITK takes zeros for what is missing."""
    if problem := problem_of_file(path):
        raise UserError(f"{path} cannot be used ({problem}): download it again.")


def _check_values(path: Path) -> None:
    try:
        voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    others = np.setdiff1d(voxels, list(LABELS.values()))
    if others.size:
        raise UserError(f"{path} has the values {_rounded(others[:5])}: BTCV's labels are whole numbers from 0 to 13.")


def _unreadable(path: Path, error: RuntimeError) -> UserError:
    """SimpleITK's last line says what is wrong; those before name its own source."""
    reason = str(error).strip().splitlines()[-1]
    return UserError(f"{path} cannot be read ({reason}): download it again.")


def write_dataset(download: Download, target: Path) -> None:
    """Write nnU-Net's raw format to ``target``, whole or not at all; of a folder that is there only what was written before
    is replaced, and what the user put there (imagesUn, labelsTs, other test images) stays.

    Raises:
        UserError: the file system refuses.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".convert_btcv_", dir=target.parent) as scratch:
            made = Path(scratch) / target.name
            _fill(download, made)
            if target.exists():
                _replace(target, made, Path(scratch) / "replaced")
            else:
                made.rename(target)
    except OSError as error:
        raise UserError(f"{target} could not be written, and nothing was changed: {error}.") from error


def _replace(target: Path, made: Path, replaced: Path) -> None:
    """Put what was made in the place of what was written before, or leave all as it was."""
    replaced.mkdir()
    done: list[tuple[Path, Path]] = []

    def move(source: Path, destination: Path) -> None:
        source.rename(destination)
        done.append((source, destination))

    try:
        for path in sorted(made.iterdir()):
            if (target / path.name).exists():
                move(target / path.name, replaced / path.name)
            move(path, target / path.name)
        for path in sorted(replaced.glob("*/*")):
            if not OURS.fullmatch(path.name):
                move(path, target / path.parent.name / path.name)
    except OSError:
        for source, destination in reversed(done):
            destination.rename(source)
        raise


def _fill(download: Download, folder: Path) -> None:
    copies = {
        "imagesTr": {f"{case}_0000": path for case, path in download.images.items()},
        "labelsTr": download.labels,
        "imagesTs": {f"{case}_0000": path for case, path in download.test_images.items()},
    }
    for name, files in copies.items():
        if files:
            (folder / name).mkdir(parents=True)
        for stem, path in tqdm(files.items(), f"Writing {name}", disable=None):
            shutil.copyfile(path, folder / name / f"{stem}{FILE_ENDING}")
    generate_dataset_json(
        str(folder),
        channel_names=dict(CHANNEL_NAMES),
        labels=dict(LABELS),
        num_training_cases=len(download.images),
        file_ending=FILE_ENDING,
        dataset_name=folder.name,
        reference="https://www.synapse.org/#!Synapse:syn3193805",
        description="BTCV: Multi-Atlas Labeling Beyond the Cranial Vault, Abdomen (MICCAI 2015)",
        license="see the terms of use on synapse.org, syn3193805",
        converted_by=CONVERTED_BY,
    )


def is_conversion(folder: Path) -> bool:
    """Whether a data set says that it was written here."""
    try:
        content = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("converted_by") == CONVERTED_BY
