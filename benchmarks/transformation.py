"""Shuffle and mask against a plain copy of the batch."""

from __future__ import annotations

import torch

from benchmarks.measure import Comparison, compare
from nnunetv2_lwi.settings import MaskingSettings
from nnunetv2_lwi.training.randomness import make_generator
from nnunetv2_lwi.transformation import Transformation

SAMPLES = 2
GOAL = 3.0
SHAPES = [(1, 32), (1, 64), (4, 64), (1, 96), (4, 96), (1, 128), (4, 128)]
"""Channels, and the edge of a cubic patch."""


def compare_transformation(device: torch.device) -> list[Comparison]:
    """One comparison per shape."""
    results = []
    for channels, edge in SHAPES:
        batch = torch.randn(SAMPLES, channels, edge, edge, edge, device=device)
        transformation = Transformation((edge, edge, edge), edge // 16, MaskingSettings())
        generator = make_generator(device, 0)
        name = f"transformation of {SAMPLES} x {channels} x {edge}^3"
        candidate = ("shuffle and mask", lambda t=transformation, b=batch, g=generator: t(b, g))
        calls = max(1, 2**24 // batch.numel())
        results.append(compare(name, candidate, ("copy", batch.clone), device, repeats=9, calls=calls, goal=GOAL))
    return results
