"""A data set that is generated, not downloaded: a phantom whose anatomy is ordered along depth and varies from case to case.

Each volume shows a tilted, bent body that widens along depth, with a texture that grows coarser along depth, so that the
place of a slab can be told from its image. In it lie two structures to segment: ``head``, then ``tail``, at a depth that
varies. Both are as bright as an unlabelled vessel that runs along the body, so that intensity alone separates neither them
from it nor one from the other.

Arrays are (D, H, W), images (C, D, H, W); coordinates run from 0 to 1 along each axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json
from numpy.typing import NDArray

from nnunetv2_lwi.errors import UserError

FloatArray = NDArray[np.float32]
LabelArray = NDArray[np.uint8]
Shape = tuple[int, int, int]

BACKGROUND, HEAD, TAIL, IGNORE = 0, 1, 2, 3
FILE_ENDING = ".nii.gz"
SMALLEST_EDGE = 8
ANNOTATED_SLICES = 0.4
"""Share of the slices that carry labels where the rest is to be ignored."""


@dataclass(frozen=True)
class Anatomy:
    """What differs from case to case; drawn by ``draw_anatomy``. Lengths are fractions of the volume's edges."""

    centre: tuple[float, float]
    """(H, W) of the body's axis at half depth."""
    tilt: tuple[float, float]
    """How far the axis moves in H and W over the whole depth."""
    bend: float
    """How far the axis leaves the straight line in W at half depth."""
    width: tuple[float, float]
    """The body's radius at the first and at the last slice."""
    head: tuple[float, float, float]
    """Depth of the head's centre, its radius along depth, its radius in plane."""
    tail: tuple[float, float, float]
    """The same of the tail."""
    vessel: tuple[float, float]
    """Angle at which the vessel runs along the body, and its radius."""
    contrast: float
    """Brightness of head, tail and vessel above the body's."""
    noise: float
    """Standard deviation of the noise, where the body's brightness is 1."""


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw one case's anatomy."""
    head_depth = rng.uniform(0.24, 0.38)
    return Anatomy(
        centre=(rng.uniform(0.44, 0.56), rng.uniform(0.44, 0.56)),
        tilt=(rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15)),
        bend=rng.uniform(-0.06, 0.06),
        width=(rng.uniform(0.24, 0.28), rng.uniform(0.34, 0.38)),
        head=(head_depth, rng.uniform(0.14, 0.18), rng.uniform(0.14, 0.19)),
        tail=(head_depth + rng.uniform(0.30, 0.38), rng.uniform(0.18, 0.24), rng.uniform(0.10, 0.13)),
        vessel=(rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.05)),
        contrast=rng.uniform(0.6, 1.0),
        noise=rng.uniform(0.12, 0.20),
    )


def coordinates(shape: Shape) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(D, 1, 1), (1, H, 1) and (1, 1, W): each voxel's place along each axis, which broadcast to the volume."""
    t, y, x = np.meshgrid(*(np.linspace(0, 1, edge, dtype=np.float32) for edge in shape), indexing="ij", sparse=True)
    return t, y, x


def distance_from_axis(anatomy: Anatomy, shape: Shape, angle: float = 0.0, offset: float | FloatArray = 0.0) -> FloatArray:
    """(D, H, W): each voxel's distance in plane from the body's axis, or from a line that runs ``offset`` beside it."""
    t, y, x = coordinates(shape)
    axis_y = anatomy.centre[0] + anatomy.tilt[0] * (t - 0.5) + offset * np.sin(angle)
    axis_x = anatomy.centre[1] + anatomy.tilt[1] * (t - 0.5) + anatomy.bend * np.sin(np.pi * t) + offset * np.cos(angle)
    distance: FloatArray = np.hypot(y - axis_y, x - axis_x).astype(np.float32)
    return distance


def body_radius(anatomy: Anatomy, shape: Shape) -> FloatArray:
    """(D, 1, 1): the body's radius in each slice."""
    t, _, _ = coordinates(shape)
    first, last = anatomy.width
    return first + (last - first) * t


def body_mask(anatomy: Anatomy, shape: Shape) -> NDArray[np.bool_]:
    """(D, H, W): inside the body."""
    inside: NDArray[np.bool_] = distance_from_axis(anatomy, shape) < body_radius(anatomy, shape)
    return inside


def vessel_mask(anatomy: Anatomy, shape: Shape) -> NDArray[np.bool_]:
    """(D, H, W): inside the vessel, which no label marks. It follows the body's surface from within."""
    angle, radius = anatomy.vessel
    inside: NDArray[np.bool_] = distance_from_axis(anatomy, shape, angle, 0.8 * body_radius(anatomy, shape)) < radius
    return inside


def label_map(anatomy: Anatomy, shape: Shape) -> LabelArray:
    """(D, H, W): head and tail, two ellipsoids on the body's axis; where they meet, the head goes first."""
    t, _, _ = coordinates(shape)
    distance = distance_from_axis(anatomy, shape)
    labels: LabelArray = np.full(shape, BACKGROUND, dtype=np.uint8)
    for label, (depth, along, in_plane) in ((TAIL, anatomy.tail), (HEAD, anatomy.head)):
        labels[((t - depth) / along) ** 2 + (distance / in_plane) ** 2 < 1] = label
    return labels


def smooth_noise(rng: np.random.Generator, shape: Shape, scale: float) -> FloatArray:
    """(D, H, W): noise with mean 0 and standard deviation 1 whose grains are about ``scale`` voxels wide."""
    frequencies = np.meshgrid(*(np.fft.fftfreq(edge) for edge in shape), indexing="ij", sparse=True)
    low_pass = np.exp(-2 * (np.pi * scale) ** 2 * sum(f**2 for f in frequencies))
    noise = np.fft.ifftn(np.fft.fftn(rng.standard_normal(shape)) * low_pass).real
    normalised: FloatArray = ((noise - noise.mean()) / noise.std()).astype(np.float32)
    return normalised


def texture(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """(D, H, W): fine grains at the first slice that pass into coarse ones at the last."""
    t, _, _ = coordinates(shape)
    return (1 - t) * smooth_noise(rng, shape, 0.8) + t * smooth_noise(rng, shape, 2.5)


def draw_channel(rng: np.random.Generator, anatomy: Anatomy, labels: LabelArray) -> FloatArray:
    """(D, H, W): one image channel of the anatomy, with its own gain, drift of brightness and noise."""
    shape: Shape = labels.shape  # type: ignore[assignment]
    body = body_mask(anatomy, shape)
    bright = (labels != BACKGROUND) | (body & vessel_mask(anatomy, shape))
    image = 0.15 * smooth_noise(rng, shape, 5.0)
    image += body * (1 + 0.25 * texture(rng, shape)) + anatomy.contrast * bright
    image += anatomy.noise * rng.standard_normal(shape, dtype=np.float32)
    gained: FloatArray = (rng.uniform(80, 120) * image).astype(np.float32)
    return gained


def draw_case(
    rng: np.random.Generator, shape: Shape, channels: int = 1, *, zero_outside: bool = False
) -> tuple[FloatArray, LabelArray]:
    """Draw one case: image (C, D, H, W) and labels (D, H, W).

    Args:
        zero_outside: make everything outside the body 0, as in a skull-stripped image; nnU-Net then normalises within.
    """
    anatomy = draw_anatomy(rng)
    labels = label_map(anatomy, shape)
    image = np.stack([draw_channel(rng, anatomy, labels) for _ in range(channels)])
    if zero_outside:
        image *= body_mask(anatomy, shape)
    return image, labels


def annotate_sparsely(rng: np.random.Generator, labels: LabelArray) -> LabelArray:
    """Labels (D, H, W) of which only some slices are kept; the others are to be ignored."""
    depth = labels.shape[0]
    ignored = rng.permutation(depth)[max(1, round(ANNOTATED_SLICES * depth)) :]
    sparse = labels.copy()
    sparse[ignored] = IGNORE
    return sparse


def jittered(rng: np.random.Generator, shape: Shape, by: int = 2) -> Shape:
    """``shape`` with each edge changed by at most ``by`` voxels."""
    depth, height, width = (int(edge + rng.integers(-by, by + 1)) for edge in shape)
    return depth, height, width


def write_phantom(
    folder: Path,
    cases: int = 20,
    test_cases: int = 4,
    *,
    shape: Shape = (32, 40, 36),
    channels: int = 1,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ignore_label: bool = False,
    regions: bool = False,
    zero_outside: bool = False,
    seed: int = 0,
) -> None:
    """Write a phantom data set in nnU-Net's raw format to ``folder``, which is named like Dataset001_Phantom.

    The same arguments write the same voxels; a case does not depend on how many there are.

    Args:
        cases: in ``imagesTr`` and ``labelsTr``.
        test_cases: in ``imagesTs`` and ``labelsTs``.
        shape: (D, H, W) of the typical case; each edge of each case differs by at most 2.
        spacing: of the voxels along (D, H, W), in mm.
        ignore_label: annotate the training cases in some slices only.
        regions: train on overlapping regions (whole, tail) in place of labels.
        zero_outside: see ``draw_case``.

    Raises:
        UserError: an edge of ``shape`` is too small for the anatomy, or the counts are.
    """
    if min(shape) < SMALLEST_EDGE + 2:
        raise UserError(f"shape = {shape} of the phantom is too small: each edge must be at least {SMALLEST_EDGE + 2}.")
    if cases < 1 or channels < 1 or test_cases < 0:
        raise UserError(f"cases = {cases}, test_cases = {test_cases}, channels = {channels}: need at least 1, 0 and 1.")
    for subset, index in [*(("Tr", case) for case in range(cases)), *(("Ts", case) for case in range(test_cases))]:
        rng = np.random.default_rng([seed, index, subset == "Ts"])
        image, labels = draw_case(rng, jittered(rng, shape), channels, zero_outside=zero_outside)
        if ignore_label and subset == "Tr":
            labels = annotate_sparsely(rng, labels)
        _write_case(folder, f"phantom{subset}_{index:03d}", subset, image, labels, spacing)
    generate_dataset_json(
        str(folder),
        channel_names={str(channel): f"phantom{channel}" for channel in range(channels)},
        labels=_label_names(ignore_label, regions),
        num_training_cases=cases,
        file_ending=FILE_ENDING,
        regions_class_order=(HEAD, TAIL) if regions else None,
        dataset_name="Phantom",
        description="Generated by nnunetv2_lwi: two structures that follow each other along depth.",
        license="CC0-1.0",
        converted_by="nnunetv2_lwi",
    )


def _label_names(ignore_label: bool, regions: bool) -> dict[str, Any]:
    names: dict[str, Any] = {"background": BACKGROUND}
    names |= {"whole": (HEAD, TAIL), "tail": (TAIL,)} if regions else {"head": HEAD, "tail": TAIL}
    return names | ({"ignore": IGNORE} if ignore_label else {})


def _write_case(
    folder: Path, name: str, subset: str, image: FloatArray, labels: LabelArray, spacing: Sequence[float]
) -> None:
    images, segmentations = folder / f"images{subset}", folder / f"labels{subset}"
    for target in (images, segmentations):
        target.mkdir(parents=True, exist_ok=True)
    for channel, volume in enumerate(image):
        _write_volume(images / f"{name}_{channel:04d}{FILE_ENDING}", volume, spacing)
    _write_volume(segmentations / f"{name}{FILE_ENDING}", labels, spacing)


def _write_volume(path: Path, volume: FloatArray | LabelArray, spacing: Sequence[float]) -> None:
    """Write (D, H, W); SimpleITK counts axes from the other end."""
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing([float(edge) for edge in reversed(spacing)])
    sitk.WriteImage(image, str(path), True)
