"""Plans and data sets as hypothesis draws them: networks, patches, channels, labels and settings that nnU-Net may meet."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

from hypothesis import strategies as st

from tests.any_geometry.two_steps import Plan
from tests.networks_for_tests import unet_kwargs

LARGEST_EDGE = 32
MOST_VOXELS = 12_000
"""Of a patch: a second of a core is meant to be enough for a plan."""


def seldom(draw: Any) -> bool:
    """About one time in twelve."""
    return draw(st.integers(1, 12)) == 12


@st.composite
def networks(draw: Any) -> tuple[dict[str, Any], bool]:
    """``arch_kwargs``, and whether it is the residual encoder's; strides and kernels of 1 in any axis."""
    stages = draw(st.integers(2, 4))
    flat_stages = draw(st.integers(0, stages - 1))
    strides, kernels = [[1, 1, 1]], [[draw(st.sampled_from([1, 3])) if flat_stages else 3, 3, 3]]
    for stage in range(1, stages):
        depth_stride = 1 if stage <= flat_stages else 2
        strides.append([depth_stride, *draw(st.sampled_from([(2, 2), (2, 2), (2, 1), (1, 2), (1, 1)]))])
        kernels.append([1 if stage < flat_stages else draw(st.sampled_from([1, 3, 3])), 3, draw(st.sampled_from([1, 3, 3]))])
    residual = draw(st.booleans())
    return unet_kwargs(strides, draw(st.sampled_from([2, 4])), residual, kernels), residual


@st.composite
def patches(draw: Any, strides: list[list[int]], order: bool) -> tuple[int, int, int]:
    """Cubic, flat, thin and odd: multiples of what the strides divide by, as nnU-Net's planner makes them."""
    divisors = [prod(stride[axis] for stride in strides) for axis in range(3)]
    least_positions = 1 if seldom(draw) or not order else 2
    least_positions = max(least_positions, 1 if seldom(draw) else ceil(4 / divisors[0]))
    depth = divisors[0] * draw(st.integers(least_positions, max(least_positions, LARGEST_EDGE // divisors[0])))
    plane: list[int] = []
    for divisor in divisors[1:]:
        most = min(LARGEST_EDGE, MOST_VOXELS // (depth * prod(plane) * (8 if not plane else 1))) // divisor
        least = max(2, ceil(8 / divisor))
        plane.append(divisor * draw(st.integers(least, max(least, most))))
    return depth, plane[0], plane[1]


@st.composite
def lwi_blocks(draw: Any, depth: int, depths: list[int], order: bool) -> dict[str, Any]:
    """Settings; seldom a B or levels that are not possible."""
    reconstruction_weight = draw(st.sampled_from([1.0, 1.0, 1.0, 0.3] + [0.0] * order))
    masking = {
        "strategy": draw(st.sampled_from(["random", "tube"])),
        "ratio": draw(st.one_of(st.just(0.4), st.floats(0, 0.95))),
        "patch_size": draw(st.one_of(st.just([16, 16, 16]), st.lists(st.integers(1, 20), min_size=3, max_size=3))),
    }
    step = {"epochs": 2, "optimizer": draw(st.sampled_from(["SGD", "AdamW"])), "lr": 1e-3}
    block = {
        "order_weight": draw(st.sampled_from([1.0, 0.1])) if order else 0.0,
        "reconstruction_weight": reconstruction_weight,
        "masking": masking,
        "init": step,
        "seg": step,
        "seed": draw(st.integers(0, 2**31)),
    }
    if not order:
        return block
    if draw(st.booleans()):
        divisors = [b for b in range(2, depth + 1) if depth % b == 0]
        possible = st.integers(2, depth + 1) if seldom(draw) or not divisors else st.sampled_from(divisors)
        block["num_subvolumes"] = draw(possible)
    if draw(st.booleans()):
        slabs = block.get("num_subvolumes") or depths[-1]
        able = [level for level, d in enumerate(depths) if d % slabs == 0]
        named = range(len(depths) + 1) if seldom(draw) or not able else able
        block["order_levels"] = draw(st.lists(st.sampled_from(named), min_size=1, unique=True))
    return block


@st.composite
def image_shapes(draw: Any, patch: tuple[int, int, int]) -> tuple[int, int, int]:
    """Smaller than the patch, as large, or larger, in each axis by itself."""
    depth, height, width = (max(4, round(edge * draw(st.sampled_from([0.5, 1.0, 1.3])))) for edge in patch)
    return depth, height, width


@st.composite
def plans(draw: Any) -> Plan:
    """A plan with a data set of up to six cases; at least three in four are possible."""
    arch_kwargs, residual = draw(networks())
    order = draw(st.integers(1, 6)) > 1
    patch = draw(patches(arch_kwargs["strides"], order))
    cases = draw(st.sampled_from([1, 2, 5, 6]))
    options = {
        "arch_kwargs": arch_kwargs,
        "residual": residual,
        "patch_size": patch,
        "shape": draw(image_shapes(patch)),
        "channels": draw(st.integers(1, 3)),
        "batch_size": draw(st.integers(1, 3)),
        "cases": cases,
        "foreground": draw(st.integers(1, 6)) > 1,
        "ignore_label": draw(st.booleans()),
        "regions": draw(st.booleans()),
        "use_mask_for_norm": draw(st.booleans()),
        "transpose_forward": draw(st.permutations([0, 1, 2]).map(tuple)),
    }
    depths = Plan(options).depths
    fold = "all" if cases < 5 else draw(st.sampled_from([0, 4, 7, "all"]))
    return Plan(options, draw(lwi_blocks(patch[0], depths, order)), fold)
