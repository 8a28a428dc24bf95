"""Building networks from plans, nnU-Net's own way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.configuration import network_class


def supports_deep_supervision(configuration: ConfigurationManager) -> bool:
    """Whether the plan's network has outputs at lower resolutions, as nnU-Net's own do; a network class may deny it."""
    return bool(getattr(network_class(configuration), "supports_deep_supervision", True))


def output_scales(network: nn.Module, configuration: ConfigurationManager) -> list[list[float]]:
    """Edges of each output under deep supervision over the patch's: the network's own, else nnU-Net's from the strides.

    Raises:
        UserError: neither is there.
    """
    own = getattr(network, "deep_supervision_scales", None)
    if own is not None:
        return [list(scale) for scale in own]
    if "strides" not in configuration.network_arch_init_kwargs:
        raise UserError(
            f"{type(network).__name__} names no deep_supervision_scales, and the plan's arch_kwargs no strides to take them "
            "from: if it has one output only, set supports_deep_supervision = False in its class."
        )
    scales: list[list[float]] = (1 / np.cumprod(configuration.pool_op_kernel_sizes, axis=0)).tolist()
    return scales[:-1]


def build_network(configuration: ConfigurationManager, channels: int, outputs: int) -> nn.Module:
    """The network that nnU-Net builds from the plan, with outputs at lower resolutions if it has them."""
    network: nn.Module = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        channels,
        outputs,
        deep_supervision=supports_deep_supervision(configuration),
    )
    return network


@contextmanager
def telling_what_cannot_be_built(configuration: ConfigurationManager) -> Iterator[None]:
    """Whatever a network raises when its plan holds nonsense, as one line.

    Raises:
        UserError: with the network's own words.
    """
    name = network_class(configuration).__name__
    try:
        yield
    except Exception as error:
        kind = "" if isinstance(error, (ValueError, ImportError)) else f"{type(error).__name__}: "
        raise UserError(f"{name} cannot be built or run as this plan has it: {kind}{error}") from error
