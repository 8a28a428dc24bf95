"""The plans that are measured: nnU-Net's own and the small presets', made by the functions of ``nnUNetv2_lwi plan``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.datasets import LARGE, SMALL, Dataset, prepare
from nnunetv2_lwi.cli.plan import segmentation_heads
from nnunetv2_lwi.nnunet.inheritance import resolve
from nnunetv2_lwi.nnunet.target import read_target
from nnunetv2_lwi.planning.application import apply_preset, configuration_name
from nnunetv2_lwi.planning.overrides import Overrides
from nnunetv2_lwi.planning.presets import NO_PRESET, load_preset

CPU_PATCHES: dict[str, list[int]] = {
    "unetr_small": [32, 48, 32],
    "unetr_pp_small": [32, 48, 32],
    "primus_small": [40, 56, 40],
    "swin_unetr_small": [64, 32, 32],
}
"""Patches of the small presets on the CPU, one sample a batch, so that an iteration takes about a second on two cores."""

EVERY_PLAN: Overrides = {"lwi.seg.start": "random", "lwi.seed": 0}
"""LWISeg is measured by itself, without a step 1; what is drawn costs the same whatever it is."""


@dataclass(frozen=True)
class Plan:
    """Plans with the configuration that is measured."""

    network: str
    configuration: str
    plans: dict[str, Any]
    dataset_json: dict[str, Any]

    @property
    def resolved(self) -> dict[str, Any]:
        """The configuration with what it inherits."""
        return resolve(self.plans, self.configuration)

    def __str__(self) -> str:
        patch = "x".join(map(str, self.resolved["patch_size"]))
        return f"{self.network}, {self.resolved['batch_size']} x {patch}"


def make_plan(preset_name: str, dataset: Dataset, overrides: Overrides) -> Plan:
    """The plan of a preset for a data set, which is prepared if need be.

    Args:
        preset_name: ``none`` for nnU-Net's own network.
        overrides: values of the configuration by dotted key.
    """
    prepare(dataset)
    target = read_target(dataset.folder_name, "nnUNetPlans", "3d_fullres", 0)
    preset = load_preset(preset_name)
    preset.require_packages()
    name = f"nnUNetPlans_{preset_name}"
    values = EVERY_PLAN | overrides
    plans = apply_preset(target.plans, preset, "3d_fullres", name, values, segmentation_heads(target))
    network = "PlainConvUNet" if preset is NO_PRESET else preset_name
    return Plan(network, configuration_name(preset, "3d_fullres"), plans, target.dataset_json)


def own_plan(dataset: Dataset) -> Plan:
    """nnU-Net's own network for a data set."""
    overrides = {} if dataset.patch_size is None else {"patch_size": list(dataset.patch_size)}
    return make_plan(NO_PRESET.name, dataset, overrides)


def small_preset_plans(device: torch.device) -> list[Plan]:
    """The small presets: as they are on a GPU, with the smaller patches on the CPU."""

    def overrides(name: str) -> Overrides:
        return {} if device.type == "cuda" else {"patch_size": CPU_PATCHES[name], "batch_size": 1}

    return [make_plan(name, SMALL, overrides(name)) for name in CPU_PATCHES]


def measured_plans(device: torch.device) -> list[Plan]:
    """nnU-Net's own, on a patch of 128 cubed on a GPU, and the small presets."""
    return [own_plan(LARGE if device.type == "cuda" else SMALL), *small_preset_plans(device)]
