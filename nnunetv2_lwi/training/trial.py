"""Try a plan before it is written: build its networks, run step 1's losses once, look at step 2's outputs."""

from __future__ import annotations

from math import isfinite
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.handover.transfer import misfits
from nnunetv2_lwi.method.loss import PretextLoss
from nnunetv2_lwi.method.pretext_network import PretextNetwork, build_pretext_network
from nnunetv2_lwi.method.transformation import Transformation
from nnunetv2_lwi.networks.build import build_network, output_scales, supports_deep_supervision, telling_what_cannot_be_built
from nnunetv2_lwi.networks.dry_run import on_shapes, run_on_shapes
from nnunetv2_lwi.networks.memory import memory_of
from nnunetv2_lwi.planning.configuration import count_channels, label_manager, network_class, resolve_configuration
from nnunetv2_lwi.planning.plan_rules import require_augmentable
from nnunetv2_lwi.planning.settings import LWISettings


def try_plan(
    plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any], with_step1: bool = True
) -> dict[str, float]:
    """Step 1's losses on one sample of noise, by name, and ``slabs``, B; step 2's outputs are checked by their shapes.

    Args:
        with_step1: false for a training that starts otherwise, of which there is nothing to return.

    Raises:
        UserError: settings, network, patch or B are not possible, a loss is not finite, step 2's outputs are not
            what its loss takes, or step 1's weights do not fit step 2.
    """
    resolved = resolve_configuration(plans, configuration)
    require_augmentable(resolved.patch_size)
    settings = LWISettings.from_configuration(resolved.configuration)
    name = network_class(resolved).__name__
    channels = count_channels(plans, resolved, dataset_json)
    classes = label_manager(plans, dataset_json).num_segmentation_heads
    losses: dict[str, float] = {}
    with telling_what_cannot_be_built(resolved):
        network, outputs = on_shapes(lambda: _run_step2(resolved, channels, classes))
        problem = _misfit_of_outputs(network, outputs, resolved, classes)
        if with_step1 and problem is None:
            pretext = build_pretext_network(resolved, channels, settings)
            losses = {**_losses_on_noise(pretext, settings, channels, resolved.patch_size), "slabs": pretext.slabs}
            problem = _misfit_of_hand_over(pretext, network)
    broken = [key for key, value in losses.items() if not isfinite(value)]
    if broken:
        raise UserError(f"{name} gives no finite {', '.join(broken)} on noise: its architecture in this plan cannot train.")
    if problem is not None:
        raise UserError(f"{name} does not fit step 2 as this plan has it: {problem}.")
    return losses


def memory_of_steps(
    plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any], gpus: int = 1
) -> dict[str, int]:
    """Bytes of GPU memory that a training iteration takes by estimate, in mixed precision, of ``init`` and of ``seg``.

    Args:
        gpus: that share a batch.

    Raises:
        UserError: settings or network are not possible.
    """
    resolved = resolve_configuration(plans, configuration)
    settings = LWISettings.from_configuration(resolved.configuration)
    channels = count_channels(plans, resolved, dataset_json)
    classes = label_manager(plans, dataset_json).num_segmentation_heads
    samples = -(-resolved.batch_size // gpus)
    with telling_what_cannot_be_built(resolved):
        step1 = on_shapes(lambda: build_pretext_network(resolved, channels, settings))
        step2 = on_shapes(lambda: build_network(resolved, channels, classes))
        step2.decoder.deep_supervision = supports_deep_supervision(resolved)  # type: ignore[union-attr,assignment]
        networks = ((step1, settings.init), (step2, settings.seg))
        first, second = (
            memory_of(network, channels, resolved.patch_size).needed(
                samples, step.optimizer, mixed_precision=True, ranks=gpus
            )
            for network, step in networks
        )
    return {"init": first, "seg": second}


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


def _run_step2(configuration: ConfigurationManager, channels: int, classes: int) -> tuple[nn.Module, Any]:
    """Step 2's network and its outputs on a patch, with deep supervision switched as nnU-Net does before it trains."""
    network = build_network(configuration, channels, classes)
    network.decoder.deep_supervision = supports_deep_supervision(configuration)  # type: ignore[union-attr,assignment]
    return network, run_on_shapes(network, channels, configuration.patch_size)


def _misfit_of_outputs(network: nn.Module, outputs: Any, configuration: ConfigurationManager, classes: int) -> str | None:
    """Why nnUNetTrainerLWISeg's loss would not take the outputs; nnU-Net compares as many as there are, in silence."""
    deep_supervision = supports_deep_supervision(configuration)
    if isinstance(outputs, (list, tuple)) != deep_supervision:
        if deep_supervision:
            return "it gives no list of outputs under deep supervision: set supports_deep_supervision = False in its class"
        return "it gives a list of outputs with decoder.deep_supervision = False"
    scales = output_scales(network, configuration) if deep_supervision else [[1.0, 1.0, 1.0]]
    weights = getattr(network, "deep_supervision_weights", scales) if deep_supervision else scales
    if len(weights) != len(scales):
        return f"it has {len(weights)} deep_supervision_weights for {len(scales)} outputs"
    patch = configuration.patch_size
    expected = [[classes, *(round(edge * part) for edge, part in zip(patch, scale, strict=True))] for scale in scales]
    given = [list(output.shape[1:]) for output in (outputs if deep_supervision else [outputs])]
    if given == expected:
        return None
    return f"its outputs (channels, depth, height, width; full resolution first) must be {expected} and are {given}"


def _misfit_of_hand_over(pretext: PretextNetwork, network: nn.Module) -> str | None:
    """Which weights besides the output layers differ between the steps."""
    differing = misfits(pretext.state_dict(), network)
    if not differing:
        return None
    return f"only decoder.seg_layers may depend on the number of classes, but of step 1's weights {shortened(differing)}"
