"""Figures as SVG within the page, in colours that can be read on white and on black; names stand beside them, in HTML.

Texts and axes are drawn in one colour, which then becomes the page's own, so that one figure serves a light and a dark page.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nnunetv2_lwi.report.markup import Html, tag

INK = "#123456"
"""Becomes ``currentColor``."""
COLOURS = ("#3b82d0", "#e07b24", "#2f9e62", "#c2559b", "#8a78d6", "#b08a1e", "#d9534f", "#2aa3b0", "#7d8790", "#8c6d5a")
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
STYLE: dict[Any, Any] = dict.fromkeys(INKED, INK) | {
    "font.size": 11.0,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "svg.hashsalt": "nnunetv2_lwi",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
LONGEST_NAME, MOST_LETTERS = 20, 56
"""Letters of a name at an axis, and of all of them that stand upright beside each other."""
_numbers = count()


@dataclass(frozen=True)
class Line:
    """One value an epoch."""

    name: str
    values: Sequence[float]
    colour: int = 0
    dashed: bool = False


@dataclass(frozen=True)
class Point:
    """A value with its interval at one of the places along the axis.

    Attributes:
        place: number of the place.
        seeds: single values that the value is a mean of.
    """

    place: int
    value: float
    low: float | None = None
    high: float | None = None
    seeds: Sequence[float] = ()


def colour_of(number: int) -> str:
    """Of a line or an arm."""
    return COLOURS[number % len(COLOURS)]


def plot_lines(lines: Sequence[Line], ylabel: str, alt: str, level: float | None = None, top: float | None = None) -> Html:
    """Curves over the epochs.

    Args:
        alt: the figure in words.
        level: a horizontal line, of chance.
        top: upper end of an axis that begins at 0.
    """
    with rc_context(STYLE):
        figure, axes = _canvas(ylabel)
        for line in lines:
            marker = "." if len(line.values) < 60 else None
            style = "--" if line.dashed else "-"
            axes.plot(line.values, style, color=colour_of(line.colour), marker=marker, linewidth=1.6)
        if level is not None:
            axes.axhline(level, color=INK, linestyle=":", linewidth=1.4)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if top is not None:
            axes.set_ylim(0, top)
        return as_svg(figure, alt)


def plot_points(
    groups: Sequence[Sequence[Point]], places: Sequence[str], labels: tuple[str, str], alt: str, top: float | None = None
) -> Html:
    """Each group's values side by side at every place, with their intervals.

    Args:
        places: what stands along the axis.
        labels: of the two axes.
        alt: the figure in words.
        top: upper end of an axis that begins at 0.
    """
    with rc_context(STYLE):
        figure, axes = _canvas(labels[1])
        width = 0.7 / max(1, len(groups))
        for number, points in enumerate(groups):
            for point in points:
                x = point.place + (number - (len(groups) - 1) / 2) * width
                _draw_point(axes, x, point, colour_of(number))
        axes.set_xticks(range(len(places)), list(map(literal, places)))
        if max(map(len, places), default=0) * len(places) > MOST_LETTERS:
            axes.tick_params(axis="x", labelrotation=90)
        axes.set_xlim(-0.5, len(places) - 0.5)
        axes.set_xlabel(labels[0])
        if top is not None:
            axes.set_ylim(0, top)
        if any(point.low is not None for points in groups for point in points):
            axes.axhline(0, color=INK, linestyle=":", linewidth=1.2)
        return as_svg(figure, alt)


def _draw_point(axes: Axes, x: float, point: Point, colour: str) -> None:
    axes.plot([x] * len(point.seeds), point.seeds, "o", color=colour, markersize=6, alpha=0.55, markeredgewidth=0)
    if point.low is not None and point.high is not None:
        axes.plot([x, x], [point.low, point.high], "-", color=colour, linewidth=2)
    marker, size = ("_", 18) if point.low is None else ("D", 7)
    axes.plot([x], [point.value], marker, color=colour, markersize=size, markeredgewidth=2)


def _canvas(ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.2)
    return figure, axes


def literal(name: str) -> str:
    """A user's name as it is, cut: matplotlib would take what stands between dollars for mathematics."""
    cut = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return cut.replace("$", r"\$")


def as_svg(figure: Figure, alt: str) -> Html:
    """A figure as an element of the page; its names within the file are its own."""
    file = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the page's font has what matplotlib's lacks
        figure.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    own = f"f{next(_numbers)}-"
    text = re.sub(r'\bid="', f'id="{own}', text)
    text = text.replace('href="#', f'href="#{own}').replace("url(#", f"url(#{own}")
    head, rest = text.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return Html(f"{head} {_role(alt)}>{rest.strip()}")


def _role(alt: str) -> str:
    opened = tag("g", role="img", aria_label=alt)
    return opened.removeprefix("<g ").removesuffix("></g>")


def legend(entries: Sequence[tuple[str, int, bool]]) -> Html:
    """Names beside strokes of their colours.

    Args:
        entries: name, number of the colour, whether dashed.
    """
    return tag("ul", *(tag("li", _stroke(colour, dashed), " ", name) for name, colour, dashed in entries), class_="legend")


def chance_entry(chance: float) -> Html:
    """The legend of the dotted line."""
    return tag("ul", tag("li", f"dotted: chance, {chance:.3f}"), class_="legend")


def _stroke(colour: int, dashed: bool) -> Html:
    line = tag(
        "line",
        x1=0,
        y1=5,
        x2=24,
        y2=5,
        stroke=colour_of(colour),
        stroke_width=3,
        stroke_dasharray="5 3" if dashed else None,
    )
    return tag("svg", line, viewBox="0 0 24 10", aria_hidden="true")


def numbers(values: object) -> list[float]:
    """What of a file's list is a number for each epoch; empty where it is something else."""
    if not isinstance(values, (list, tuple)):
        return []
    return [float(value) if isinstance(value, (int, float)) else np.nan for value in values]
