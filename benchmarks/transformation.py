"""Shuffle and mask against a plain copy of the batch, and how both grow with the number of voxels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

import numpy as np
import torch

from benchmarks.measure import Comparison, Findings, Table, compare
from nnunetv2_lwi.method.transformation import Transformation
from nnunetv2_lwi.planning.settings import MaskingSettings
from nnunetv2_lwi.training.machine.randomness import make_generator

CANDIDATE, BASELINE = "shuffle and mask", "copy"
SAMPLES = 2
REPEATS = 9
EDGES, CHANNELS = (32, 64, 96, 128, 160, 192), (1, 2, 4, 8)
LARGEST = 1.5e9
"""Bytes of a batch with both results."""
VALUES_A_ROUND = 2**24
"""At least so many, so that the clock can tell small batches apart."""
FLOOR = 1.5
"""Copies: one read and two writes, a copy being a read and a write."""
GOAL = 1.3 * FLOOR
SMALLEST_EDGE_OF_GROWTH = 64
"""Below, fixed costs decide."""

Shape = tuple[int, int]
"""Channels, and the edge of a cubic patch."""


def compare_transformation(device: torch.device) -> Findings:
    """One comparison a shape, and the growth."""
    return compare_shapes(product(CHANNELS, EDGES), device, LARGEST)


def compare_shapes(shapes: Iterable[Shape], device: torch.device, largest: float) -> Findings:
    """Those shapes whose batch and results take no more than ``largest`` bytes."""
    findings = Findings()
    medians: dict[Shape, dict[str, float]] = {}
    for channels, edge in shapes:
        name = f"transformation of {SAMPLES} x {channels} x {edge}^3"
        size = 3 * 4 * values(channels, edge)
        if size > largest:
            findings.left_out.append(f"{name}: the batch and its results take {size / 1e9:.2g} GB")
            continue
        comparison = compare_shape(name, channels, edge, device)
        findings.comparisons.append(comparison)
        of_each = comparison.candidate_value.median, comparison.baseline_value.median
        medians[channels, edge] = dict(zip((CANDIDATE, BASELINE), of_each, strict=True))
    findings.tables.append(growth(medians))
    return findings


def compare_shape(name: str, channels: int, edge: int, device: torch.device) -> Comparison:
    """Time of one shape, the batch used up as step 1 does; small batches are done several times a round."""
    batch = torch.randn(SAMPLES, channels, edge, edge, edge, device=device)
    transformation = Transformation((edge, edge, edge), edge // 16, MaskingSettings())
    generator = make_generator(0)
    candidate = (CANDIDATE, lambda: transformation(batch, generator, overwrite=True))
    calls = max(1, VALUES_A_ROUND // batch.numel())
    return compare(name, candidate, (BASELINE, batch.clone), repeats=REPEATS, calls=calls, goal=GOAL)


def values(channels: int, edge: int) -> int:
    """Numbers in a batch."""
    return SAMPLES * channels * edge**3


def growth(medians: Mapping[Shape, Mapping[str, float]]) -> Table:
    """Milliseconds per million voxels by shape, and the exponent with which time grows with the number of voxels.

    Args:
        medians: milliseconds by shape and by what was timed.
    """
    edges = sorted({edge for _, edge in medians})
    rows = []
    for channels in sorted({channels for channels, _ in medians}):
        for what in (CANDIDATE, BASELINE):
            times = {edge: medians[channels, edge][what] for edge in edges if (channels, edge) in medians}
            cells = [f"{1e6 * times[edge] / values(channels, edge):.3g}" if edge in times else "" for edge in edges]
            rows.append((what, str(channels), *cells, exponent(times)))
    header = ("ms per million voxels", "channels", *(f"{edge}^3" for edge in edges), "exponent")
    title = (
        f"Growth of the transformation's time (every channel's voxels counted), and the exponent fitted from "
        f"{SMALLEST_EDGE_OF_GROWTH}^3 up: 1 is proportional to the voxels"
    )
    return Table(title, header, rows)


def exponent(times: Mapping[int, float]) -> str:
    """Of voxels to time, by least squares of the logarithms; empty where fewer than two edges are large enough."""
    edges = [edge for edge in times if edge >= SMALLEST_EDGE_OF_GROWTH]
    if len(edges) < 2:
        return ""
    slope, _ = np.polyfit(3 * np.log(edges), np.log([times[edge] for edge in edges]), 1)
    return f"{slope:.2f}"
