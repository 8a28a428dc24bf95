"""Volumes of step 1 slice by slice: original, shuffled, masked, reconstructed, of the patch in the middle of a case.

All slices of a volume are one picture, a grid, of which a slider shows one at a time.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nnunetv2_lwi.report.markup import Html, joined, paragraph, tag
from nnunetv2_lwi.report.pictures import as_data, slider
from nnunetv2_lwi.training.monitoring.pictures import PretextExample

MOST_VOXELS = 4_000_000
"""Of all volumes of the page; where there are more, slices are left out. A voxel takes about a byte."""


def shown_examples(examples: Mapping[str, PretextExample]) -> Html:
    """A box for each case."""
    most = MOST_VOXELS // max(1, len(examples))
    boxes = [_box(case, example, number, most) for number, (case, example) in enumerate(examples.items())]
    return joined(
        paragraph(
            "The patch in the middle of a validation case, drawn anew by this report with the newest checkpoint. Slices run "
            "along depth, the first axis; the arrow keys move the slider."
        ),
        *boxes,
    )


def _box(case: str, example: PretextExample, number: int, most: int) -> Html:
    volumes = volumes_of(example)
    slices = kept_slices(example.original.shape, most // len(volumes))
    columns = ceil(sqrt(len(slices)))
    rows = ceil(len(slices) / columns)
    window = np.percentile(example.original, (0.5, 99.5)).tolist()
    captions = [describe_slice(example, index) for index in slices]
    first = int(np.abs(example.masked - example.shuffled)[slices].sum((1, 2)).argmax())
    shape = _shape(example)
    pictures = [
        tag("div", _window(volume[slices], columns, window, f"{name} of {case}", first, shape), paragraph(name))
        for name, volume in volumes.items()
    ]
    return tag(
        "div",
        tag("h4", case),
        slider(len(slices), first, captions, "Slice", f"slices{number}"),
        tag("div", *pictures, class_="volumes"),
        role="group",
        aria_label=f"Slices of {case}",
        data_captions=json.dumps(captions),
        data_columns=columns,
        data_rows=rows,
    )


def volumes_of(example: PretextExample) -> dict[str, NDArray[np.float32]]:
    """Each (D, H, W), by name; what was not shuffled or not reconstructed is left out."""
    volumes = {"original": example.original}
    if len(example.order) > 1:
        volumes["shuffled"] = example.shuffled
    volumes["masked (input)"] = example.masked
    if example.reconstruction is not None:
        volumes["reconstructed"] = example.reconstruction
    return volumes


def kept_slices(shape: Sequence[int], most: int) -> list[int]:
    """Indices of slices, evenly spaced, that together have no more voxels; one at least."""
    depth, height, width = shape
    return list(range(0, depth, max(1, ceil(depth * height * width / most))))


def describe_slice(example: PretextExample, index: int) -> str:
    """Which slice, and where its slab comes from and is thought to."""
    depth, slabs = example.original.shape[0], len(example.order)
    text = f"slice {index + 1} of {depth}"
    if slabs < 2:
        return text
    position = index * slabs // depth
    text += f"; in the shuffled volume slab {example.order[position]} stands at position {position}"
    predicted = example.predicted_order
    return text if predicted is None else f"{text}, and the network says {predicted[position]}"


def _shape(example: PretextExample) -> str:
    """Width over height of a slice in mm."""
    _, height, width = example.original.shape
    return f"{width * example.spacing[2]:.6g} / {height * example.spacing[1]:.6g}"


def _window(slices: NDArray[Any], columns: int, window: Sequence[float], alt: str, first: int, shape: str) -> Html:
    """One slice of the grid, the others hidden beyond its edges."""
    rows = ceil(len(slices) / columns)
    place = f"translate(-{100 * (first % columns) / columns:.6g}%, -{100 * (first // columns) / rows:.6g}%)"
    image = tag(
        "img",
        src=as_data(grid(slices, columns, window)),
        alt=alt,
        data_sprite=True,
        style=f"width: {100 * columns}%; height: {100 * rows}%; transform: {place}",
    )
    return tag("div", image, class_="window", style=f"aspect-ratio: {shape}")


def grid(slices: NDArray[Any], columns: int, window: Sequence[float]) -> bytes:
    """Slices (N, H, W) side by side in rows, as a grey PNG.

    Args:
        window: intensities that are black and white.
    """
    number, height, width = slices.shape
    rows = ceil(number / columns)
    low, high = window
    grey = np.clip((slices - low) / max(high - low, 1e-9), 0, 1)
    cells = np.zeros((rows * columns, height, width), np.uint8)
    cells[:number] = np.round(255 * np.nan_to_num(grey))
    whole = cells.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)
    file = io.BytesIO()
    Image.fromarray(whole).save(file, "PNG", optimize=True)
    return file.getvalue()
