"""Try a plan before it is written: build its networks, run step 1's losses once, look at step 2's outputs."""

from __future__ import annotations

from math import isfinite
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.loss import PretextLoss
from nnunetv2_lwi.pretext_network import PretextNetwork
from nnunetv2_lwi.probe import run_on_shapes
from nnunetv2_lwi.settings import LWISettings
from nnunetv2_lwi.training.build import (
    build_network,
    build_pretext_network,
    output_scales,
    supports_deep_supervision,
    telling_what_cannot_be_built,
)
from nnunetv2_lwi.training.preconditions import count_channels, label_manager, network_class, resolve_configuration
from nnunetv2_lwi.transformation import Transformation


def try_plan(plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any]) -> dict[str, float]:
    """Step 1's losses on one sample of noise, by name, and ``slabs``, B; step 2's outputs are checked by their shapes.

    Raises:
        UserError: settings, network, patch or B are not possible, a loss is not finite, or step 2's outputs do not fit.
    """
    resolved = resolve_configuration(plans, configuration)
    settings = LWISettings.from_configuration(resolved.configuration)
    name = network_class(resolved).__name__
    channels = count_channels(plans, resolved, dataset_json)
    classes = label_manager(plans, dataset_json).num_segmentation_heads
    with telling_what_cannot_be_built(resolved):
        pretext = build_pretext_network(resolved, channels, settings)
        losses = _losses_on_noise(pretext, settings, channels, resolved.patch_size)
        problem = _misfit_of_step2(resolved, channels, classes)
    broken = [key for key, value in losses.items() if not isfinite(value)]
    if broken:
        raise UserError(f"{name} gives no finite {', '.join(broken)} on noise: its architecture in this plan cannot train.")
    if problem is not None:
        raise UserError(f"{name} does not fit step 2 as this plan has it: {problem}.")
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


def _misfit_of_step2(configuration: ConfigurationManager, channels: int, classes: int) -> str | None:
    """What is wrong with the outputs of step 2's network, or None; nothing is computed."""
    network = build_on_meta(configuration.configuration, channels, classes)
    outputs = run_on_shapes(network, channels, configuration.patch_size)
    deep_supervision = supports_deep_supervision(configuration)
    if isinstance(outputs, (list, tuple)) != deep_supervision:
        return f"it gives {'one output' if deep_supervision else 'a list'}, against what its supports_deep_supervision says"
    scales = output_scales(network, configuration) if deep_supervision else [[1.0, 1.0, 1.0]]
    shapes = [[round(edge * f) for edge, f in zip(configuration.patch_size, scale, strict=True)] for scale in scales]
    expected = [[classes, *shape] for shape in shapes]
    given = [list(output.shape[1:]) for output in (outputs if deep_supervision else [outputs])]
    return None if given == expected else f"its outputs should have the shapes {expected} and have {given}"


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
