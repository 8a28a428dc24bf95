"""Draw the figure of the method, docs/images/method.svg: a patch on its way through step 1 and step 2.

    python docs/scripts/method.py
    python docs/scripts/method.py --image CASE_0000.nii.gz --labels CASE.nii.gz -o method.svg

Shuffle and mask are those of the package, on a case that is handed in or on the generated phantom. No network is run: the
reconstruction and the segmentation are drawn as what they are trained towards. The file in the repository shows the phantom.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import SimpleITK as sitk
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle
from numpy.typing import NDArray

from nnunetv2_lwi.datasets.phantom import draw_case
from nnunetv2_lwi.method.transformation import Transformation
from nnunetv2_lwi.planning.settings import MaskingSettings

HERE = Path(__file__).parent
SLABS, PATCH = 6, (96, 96, 96)
"""As in the paper's UNETR runs: 6 slabs of 16 slices, cells of 16 cubed."""
SEED, CASE = 4, 3
"""Of the shuffle and the mask, and of the phantom."""

WIDTH, HEIGHT = 132, 66
UPPER, LOWER, EDGE = 36, 6, 18
"""Lower edges of the two rows of images, and the images' edge; in units of which the figure is WIDTH x HEIGHT."""
ENCODER, DECODER, HEADS = "#d9e8f6", "#fbe6cf", "#ffffff"
DRAWN_ANEW = "#eeeeee"
INK = "#222222"

Volume = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """A patch and its labels, (D, H, W); brightness from 0 to 1."""

    image: Volume
    labels: NDArray[np.int64]


def generated_case() -> Case:
    """One case of the package's phantom."""
    image, labels = draw_case(np.random.default_rng(CASE), PATCH)
    return Case(windowed(image[0]), labels.astype(np.int64))


def read_case(image: Path, labels: Path | None) -> Case:
    """The middle of a case, its depth a multiple of SLABS."""
    volume = sitk.GetArrayFromImage(sitk.ReadImage(str(image))).astype(np.float32)
    truth = np.zeros(volume.shape) if labels is None else sitk.GetArrayFromImage(sitk.ReadImage(str(labels)))
    depth = volume.shape[0] // SLABS * SLABS
    first = (volume.shape[0] - depth) // 2
    return Case(windowed(volume[first : first + depth]), truth[first : first + depth].astype(np.int64))


def windowed(volume: Volume) -> Volume:
    """Brightness from 0 to 1, without the outermost half per cent at either end."""
    low, high = np.percentile(volume, (0.5, 99.5))
    scaled: Volume = np.clip((volume - low) / (high - low), 0, 1).astype(np.float32)
    return scaled


def transformed(case: Case) -> tuple[Volume, Volume, list[int]]:
    """X', X'' and the order, by the package's own transformation with the paper's masking."""
    depth, height, width = case.image.shape
    transformation = Transformation((depth, height, width), SLABS, MaskingSettings())
    batch = transformation(torch.from_numpy(case.image)[None, None], torch.Generator().manual_seed(SEED))
    return batch.shuffled[0, 0].numpy(), batch.masked[0, 0].numpy(), batch.order[0].tolist()


def colour_of(slab: int) -> Any:
    """By the original place of a slab."""
    return colormaps["viridis"](slab / (SLABS - 1))


class Drawing:
    """A figure whose one pair of axes has WIDTH x HEIGHT units; images are laid over it."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH / 12, HEIGHT / 12), facecolor="white")
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
        self.axes.axis("off")

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        """Words, centred unless the style says otherwise."""
        self.axes.text(x, y, words, **{"ha": "center", "va": "center", "fontsize": 12, "color": INK, **style})

    def volume(self, x: float, y: float, volume: Volume, labels: NDArray[np.int64] | None = None) -> None:
        """The middle slice, depth downwards against width."""
        middle = volume.shape[1] // 2
        axes = self.figure.add_axes((x / WIDTH, y / HEIGHT, EDGE / WIDTH, EDGE / HEIGHT))
        axes.imshow(volume[:, middle], cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        if labels is not None:
            shown = np.ma.masked_equal(labels[:, middle], 0)
            axes.imshow(shown, cmap="autumn", alpha=0.75, aspect="auto", interpolation="nearest", vmin=1, vmax=labels.max())
        axes.set(xticks=[], yticks=[])

    def strip(self, x: float, y: float, order: Sequence[int]) -> None:
        """Beside an image: the original place of each slab, by number and colour."""
        each = EDGE / len(order)
        for position, slab in enumerate(order):
            bottom = y + EDGE - (position + 1) * each
            self.axes.add_patch(Rectangle((x, bottom), 2.6, each, facecolor=colour_of(slab), edgecolor="white"))
            ink = "white" if slab < SLABS / 2 else "black"
            self.text(x + 1.3, bottom + each / 2, str(slab + 1), color=ink, fontsize=10.5)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], **style: Any) -> None:
        """From one point to another."""
        shape = {"arrowstyle": "-|>", "mutation_scale": 12, "color": INK, "shrinkA": 0, "shrinkB": 0, **style}
        self.axes.add_patch(FancyArrowPatch(start, end, **shape))

    def network(self, y: float, decoder_colour: str, dashed: bool = False) -> None:
        """Encoder and decoder as two trapezia, with the lists of features between them."""
        narrow, wide = 4.0, EDGE / 2
        centre = y + wide
        for x, left, right, colour, name in (
            (84, wide, narrow, ENCODER, "encoder"),
            (99, narrow, wide, decoder_colour, "decoder"),
        ):
            corners = [(x, centre - left), (x, centre + left), (x + 11, centre + right), (x + 11, centre - right)]
            style = "--" if dashed and name == "decoder" else "-"
            self.axes.add_patch(Polygon(corners, facecolor=colour, edgecolor=INK, linestyle=style))
            self.text(x + 5.5, centre, name, rotation=90)
        self.arrow((95, centre), (99, centre))

    def order_heads(self, order: Sequence[int]) -> None:
        """Lines from the encoder's levels to what the heads are to name."""
        top = UPPER + EDGE
        for x, down in ((86, 0.8), (89.5, 2.4), (93, 4.1)):
            self.axes.plot([x, x], [top - down, top + 2.2], color=INK, linewidth=1)
        self.axes.add_patch(Rectangle((84, top + 2.2), 11, 3.4, facecolor=HEADS, edgecolor=INK))
        self.text(89.5, top + 3.9, "order heads", fontsize=10)
        self.arrow((95, top + 3.9), (98, top + 3.9))
        for position, slab in enumerate(order):
            self.axes.add_patch(
                Rectangle((98.4 + 2.6 * position, top + 2.4), 2.6, 3, facecolor=colour_of(slab), edgecolor="white")
            )
            ink = "white" if slab < SLABS / 2 else "black"
            self.text(99.7 + 2.6 * position, top + 3.9, str(slab + 1), color=ink, fontsize=10.5)
        self.text(98.4, top + 7, "which slab is where", ha="left", fontsize=10.5)


def draw(case: Case) -> Figure:
    """The whole figure."""
    shuffled, masked, order = transformed(case)
    drawing = Drawing()
    first, second, third, last = 6, 34, 62, 113
    middle, low = UPPER + EDGE / 2, LOWER + EDGE / 2
    drawing.text(2, HEIGHT - 3.4, "Step 1: no labels", ha="left", fontsize=14, weight="bold")
    for x, volume, places, name in (
        (first, case.image, range(SLABS), "patch X, in slabs"),
        (second, shuffled, order, "shuffled X'"),
        (third, masked, order, "X', masked: X''"),
    ):
        drawing.volume(x, UPPER, volume)
        drawing.strip(x - 3, UPPER, list(places))
        drawing.text(x + EDGE / 2, UPPER - 2, name)
    for x, word in ((first + EDGE, "shuffle"), (second + EDGE, "mask")):
        drawing.arrow((x + 0.8, middle), (x + 6.2, middle))
        drawing.text(x + 3.3, middle + 2, word, fontsize=11)
    drawing.arrow((third + EDGE + 0.6, middle), (84, middle))
    drawing.network(UPPER, DECODER)
    drawing.order_heads(order)
    drawing.arrow((110, middle), (last - 0.5, middle))
    drawing.volume(last, UPPER, shuffled)
    drawing.text(last + EDGE / 2, UPPER - 2, "X', reconstructed")

    drawing.arrow((89.5, UPPER + 1), (89.5, LOWER + EDGE - 0.5), linewidth=2.5, mutation_scale=18, color="#1f5fa8")
    drawing.text(88.3, (UPPER + LOWER + EDGE) / 2 - 1.2, "hand-over", ha="right", color="#1f5fa8", weight="bold")
    drawing.text(2, LOWER + EDGE + 1.6, "Step 2: nnU-Net's segmentation", ha="left", fontsize=14, weight="bold")
    drawing.text(
        2,
        low + 2.5,
        "Slabs are cut along depth (downwards here);\nnumber and colour of a slab say where it came from.\n"
        "The encoder starts step 2; output layers and order\nheads never do. The paper hands over the decoder\n"
        "as well, nnunetv2_lwi where the plan says so.",
        ha="left",
        fontsize=11,
        linespacing=1.45,
    )
    drawing.volume(third, LOWER, case.image)
    drawing.text(third + EDGE / 2, LOWER - 2, "labelled patch")
    drawing.arrow((third + EDGE + 0.6, low), (84, low))
    drawing.network(LOWER, DRAWN_ANEW, dashed=True)
    drawing.arrow((110, low), (last - 0.5, low))
    drawing.volume(last, LOWER, case.image, case.labels)
    drawing.text(last + EDGE / 2, LOWER - 2, "segmentation")
    return drawing.figure


def main(argv: Sequence[str] | None = None) -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(description="Draw the figure of the method.")
    parser.add_argument("--image", type=Path, help="one channel of a case (default: the phantom)")
    parser.add_argument("--labels", type=Path, help="its labels")
    parser.add_argument("-o", dest="output", type=Path, default=HERE.parent / "images" / "method.svg", help="file to write")
    arguments = parser.parse_args(argv)
    case = generated_case() if arguments.image is None else read_case(arguments.image, arguments.labels)
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "method"}):
        draw(case).savefig(arguments.output, metadata={"Date": None} if arguments.output.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
