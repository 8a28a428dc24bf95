"""The levels of an encoder, and which of them can tell the slabs' order.

A level is one entry Z_i of what the encoder hands to the decoder. Its depth D_i is measured, never read from a plan's
strides, so that any network can take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.networks.dry_run import run_on_shapes
from nnunetv2_lwi.planning.settings import LWISettings


@dataclass(frozen=True)
class Level:
    """Z_i: (N, features, depth, ...)."""

    index: int
    features: int
    depth: int

    def can_order(self, slabs: int) -> bool:
        """Whether the depth positions fall into ``slabs`` groups of the same size."""
        return self.depth % slabs == 0


def measure_levels(encoder: nn.Module, channels: int, patch_size: Sequence[int]) -> list[Level]:
    """Find what the encoder makes of a patch (C, D, H, W), by one forward pass on shapes alone."""
    outputs: list[Tensor] = run_on_shapes(encoder, channels, patch_size)
    return [Level(index, z.shape[1], z.shape[2]) for index, z in enumerate(outputs)]


def count_slabs(settings: LWISettings, levels: Sequence[Level], patch_depth: int) -> int:
    """B: as the plan says, else patch depth over the depth stride of the deepest level; 1 if no order is predicted.

    Raises:
        UserError: B is below 2 or does not divide the patch's depth.
    """
    if not settings.predicts_order:
        return 1
    chosen = settings.num_subvolumes is not None
    slabs = settings.num_subvolumes if settings.num_subvolumes is not None else levels[-1].depth
    if slabs >= 2 and patch_depth % slabs == 0:
        return slabs
    divisors = ", ".join(str(b) for b in range(2, patch_depth + 1) if patch_depth % b == 0)
    origin = "in the plan" if chosen else "(the depth of the deepest level, as the plan names none)"
    raise UserError(
        f"lwi.num_subvolumes = {slabs} {origin} is not allowed with a patch of {patch_depth} slices: it must be at least 2 "
        f"and divide them ({divisors or 'no number does'}); or set lwi.order_weight 0 to predict no order."
    )


def choose_order_levels(settings: LWISettings, network: nn.Module, levels: Sequence[Level], slabs: int) -> list[Level]:
    """The levels that carry an order head.

    The plan's ``order_levels`` if it names any; else those that the network offers (its attribute ``order_levels``, by
    default every level) as far as their depth is a multiple of B.

    Raises:
        UserError: a level that the plan names does not exist or cannot carry a head, or no level can.
    """
    if not settings.predicts_order:
        return []
    described = ", ".join(f"{level.index} (depth {level.depth})" for level in levels)
    able = {level.index: level for level in levels if level.can_order(slabs)}
    if settings.order_levels is not None:
        for index in settings.order_levels:
            if index not in able:
                raise UserError(
                    f"lwi.order_levels = {list(settings.order_levels)} in the plan is not allowed: level {index} cannot "
                    f"tell the order of {slabs} slabs: its depth must be a multiple of that. Levels: {described}."
                )
        return [able[index] for index in sorted(settings.order_levels)]
    offered = getattr(network, "order_levels", None)
    chosen = [able[level.index] for level in levels if level.index in able and (offered is None or level.index in offered)]
    if not chosen:
        raise UserError(
            f"No level of the network can tell the order of {slabs} slabs: a level's depth must be a multiple of that. "
            f"Levels: {described}. Choose another lwi.num_subvolumes, or set lwi.order_weight 0 to predict no order."
        )
    return chosen
