"""The networks of presets, built from a plan without memory for their weights."""

from __future__ import annotations

from typing import Any

from torch import nn

from nnunetv2_lwi.networks.build import build_network
from nnunetv2_lwi.networks.dry_run import on_shapes
from nnunetv2_lwi.planning.application import apply_preset
from nnunetv2_lwi.planning.configuration import resolve_configuration
from nnunetv2_lwi.planning.presets import load_preset


def build(plans: dict[str, Any], name: str, channels: int, classes: int, **overrides: Any) -> tuple[nn.Module, list[int]]:
    """A preset's network and its patch; what the preset leaves open is as in its example."""
    preset = load_preset(name)
    patch = {"patch_size": preset.example["patch_size"]} if "patch_size" in preset.example else {}
    new = apply_preset(plans, preset, preset.inherits_from, "New", patch | overrides, preset.example["classes"])
    configuration = resolve_configuration(new, name)
    return on_shapes(lambda: build_network(configuration, channels, classes)), configuration.patch_size


def count_parameters(plans: dict[str, Any], name: str) -> int:
    """Weights of the published network."""
    example = load_preset(name).example
    network, _ = build(plans, name, example["channels"], example["classes"])
    return sum(parameter.numel() for parameter in network.parameters())
