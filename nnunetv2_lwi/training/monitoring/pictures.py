"""Pictures by which a person can judge step 1: input, reconstruction, error, true and predicted order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Transform
from numpy.typing import NDArray

from nnunetv2_lwi.disk import write_picture

MOST_SLABS_WITH_NUMBERS = 16
SHUFFLED, INPUT = "shuffled (target)", "masked (input)"
"""Titles of columns."""

Volume = NDArray[np.float32]


@dataclass(frozen=True)
class PretextExample:
    """One patch as step 1 saw it; volumes are (D, H, W), of one image channel."""

    original: Volume
    shuffled: Volume
    masked: Volume
    reconstruction: Volume | None
    order: NDArray[np.int64]
    """(B,), the original index of the slab at each position."""
    order_probabilities: NDArray[np.float32] | None
    """(B, B), of the deepest level with a head: row = position, column = original index."""
    order_level: int | None
    spacing: tuple[float, float, float]
    """(D, H, W) in mm."""

    @property
    def predicted_order(self) -> NDArray[np.int64] | None:
        """(B,), the likeliest original index for each position."""
        return None if self.order_probabilities is None else self.order_probabilities.argmax(1)


@style.context("default")  # nnU-Net's own plots leave large fonts behind
def draw_pretext_example(example: PretextExample, path: Path, title: str) -> None:
    """Write a picture: columns as named, upper row depth against width, lower row height against width."""
    columns = _columns(example)
    figure = Figure(figsize=(2.6 * (len(columns) + 1), 5.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(2, len(columns) + 1, squeeze=False)
    low, high = np.percentile(example.shuffled, (0.5, 99.5))
    for column, (name, volume) in enumerate(columns):
        style: dict[str, Any] = (
            {"cmap": "magma", "vmin": 0} if name == "absolute error" else {"cmap": "gray", "vmin": low, "vmax": high}
        )
        depth, height, _ = volume.shape
        for row, image in enumerate((volume[:, height // 2], volume[depth // 2])):
            _show(axes[row, column], image, _aspect(example.spacing, row), style)
        axes[0, column].set_title(name, fontsize="medium")
    axes[0, 0].set_ylabel("depth (slabs)" if len(example.order) > 1 else "depth")
    axes[1, 0].set_ylabel("height")
    for column, (name, _volume) in enumerate(columns):
        _mark_slabs(axes[0, column], example, name)
    _show_order(axes[0, -1], example)
    axes[1, -1].axis("off")
    words = axes[1, -1].text(
        0, 1, _describe(example), va="top", fontsize="small", wrap=True, transform=axes[1, -1].transAxes
    )
    words.set_in_layout(False)  # long lines would take the width of the images
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, figure, dpi=80)


def _columns(example: PretextExample) -> list[tuple[str, Volume]]:
    if len(example.order) > 1:
        columns = [("original", example.original), (SHUFFLED, example.shuffled)]
    else:
        columns = [("original (target)", example.original)]
    columns.append((INPUT, example.masked))
    if example.reconstruction is not None:
        columns.append(("reconstruction", example.reconstruction))
        columns.append(("absolute error", np.abs(example.reconstruction - example.shuffled)))
    return columns


def _aspect(spacing: Sequence[float], row: int) -> float:
    """Height of a voxel over its width in the upper (D, W) or lower (H, W) row."""
    return spacing[row] / spacing[2]


def _show(axes: Axes, image: Volume, aspect: float, style: dict[str, Any]) -> None:
    axes.imshow(image, aspect=aspect, interpolation="nearest", **style)
    axes.set(xticks=[], yticks=[])


def _mark_slabs(axes: Axes, example: PretextExample, name: str) -> None:
    """Borders of the slabs; in the shuffled columns their true, in the input their predicted original index."""
    slabs = len(example.order)
    if slabs < 2:
        return
    thickness = example.original.shape[0] / slabs
    for border in range(1, slabs):
        axes.axhline(border * thickness - 0.5, color="deepskyblue", linewidth=0.6)
    predicted = example.predicted_order
    if slabs > MOST_SLABS_WITH_NUMBERS:
        return
    for position, index in enumerate(example.order):
        text, colour = str(position if name == "original" else index), "deepskyblue"
        if name == INPUT and predicted is not None:
            text, colour = str(predicted[position]), "lime" if predicted[position] == index else "red"
        if name in ("original", SHUFFLED, INPUT):
            axes.text(
                0.02, (position + 0.5) / slabs, text, color=colour, va="center", transform=_top_down(axes), weight="bold"
            )


def _top_down(axes: Axes) -> Transform:
    """Axes coordinates whose vertical runs downwards, as depth does."""
    return Affine2D().scale(1, -1).translate(0, 1) + axes.transAxes


def _show_order(axes: Axes, example: PretextExample) -> None:
    if example.order_probabilities is None:
        axes.axis("off")
        return
    axes.imshow(example.order_probabilities, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    axes.plot(example.order, range(len(example.order)), "o", markerfacecolor="none", markeredgecolor="red")
    axes.set_title(f"order, level {example.order_level}", fontsize="medium")
    axes.set(xlabel="original slab (circle: true)", ylabel="position")
    if len(example.order) <= MOST_SLABS_WITH_NUMBERS:
        axes.set(xticks=range(len(example.order)), yticks=range(len(example.order)))


def _describe(example: PretextExample) -> str:
    lines = []
    if example.reconstruction is not None:
        error = float(np.mean((example.reconstruction - example.shuffled) ** 2))
        reference = float(np.mean((example.masked - example.shuffled) ** 2))
        lines += [f"mean squared error {error:.3f}", f"(input as it is: {reference:.3f})", ""]
    predicted = example.predicted_order
    if predicted is not None:
        right = int((predicted == example.order).sum())
        lines += [f"order: {right} of {len(example.order)} slabs right"]
        if len(example.order) <= MOST_SLABS_WITH_NUMBERS:
            lines += ["true      " + " ".join(map(str, example.order)), "predicted " + " ".join(map(str, predicted))]
    return "\n".join(lines)
