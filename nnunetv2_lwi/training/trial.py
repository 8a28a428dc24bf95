"""Try a plan before it is written: build its network, run step 1's losses once."""

from __future__ import annotations

from math import isfinite
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.loss import PretextLoss
from nnunetv2_lwi.pretext_network import PretextNetwork
from nnunetv2_lwi.settings import LWISettings
from nnunetv2_lwi.training.build import build_network, build_pretext_network, telling_what_cannot_be_built
from nnunetv2_lwi.training.preconditions import count_channels, network_class, resolve_configuration
from nnunetv2_lwi.transformation import Transformation


def try_step1(plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any]) -> dict[str, float]:
    """Step 1's losses on one sample of noise, by name, and ``slabs``, B.

    Raises:
        UserError: settings, network, patch or B are not possible, or a loss is not finite.
    """
    resolved = resolve_configuration(plans, configuration)
    settings = LWISettings.from_configuration(resolved.configuration)
    name = network_class(resolved).__name__
    channels = count_channels(plans, resolved, dataset_json)
    with telling_what_cannot_be_built(resolved):
        pretext = build_pretext_network(resolved, channels, settings)
        losses = _losses_on_noise(pretext, settings, channels, resolved.patch_size)
    broken = [key for key, value in losses.items() if not isfinite(value)]
    if broken:
        raise UserError(f"{name} gives no finite {', '.join(broken)} on noise: its architecture in this plan cannot train.")
    return {**losses, "slabs": pretext.slabs}


@torch.no_grad()
def _losses_on_noise(
    pretext: PretextNetwork, settings: LWISettings, channels: int, patch_size: list[int]
) -> dict[str, float]:
    """Transformation, network and loss, once."""
    depth, height, width = patch_size
    masking = settings.masking if settings.reconstructs else None
    transformation = Transformation((depth, height, width), pretext.slabs, masking)
    loss = PretextLoss.of(settings, [level.index for level in pretext.order_heads.levels])
    batch = transformation(torch.randn(1, channels, *patch_size), torch.Generator().manual_seed(0))
    return {name: value.item() for name, value in loss(pretext.eval()(batch.masked), batch).items()}


def build_on_meta(configuration: dict[str, Any], channels: int, classes: int) -> nn.Module:
    """The network of a configuration without memory for its weights, or, where it cannot be built so, with."""
    manager = ConfigurationManager(configuration)
    try:
        with torch.device("meta"):
            return build_network(manager, channels, classes)
    except (NotImplementedError, RuntimeError):
        return build_network(manager, channels, classes)


def count_parameters(configuration: dict[str, Any], channels: int, classes: int) -> int:
    """Trainable weights of a configuration's network."""
    return sum(parameter.numel() for parameter in build_on_meta(configuration, channels, classes).parameters())
