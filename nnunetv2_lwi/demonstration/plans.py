"""The demo's plans: nnU-Net's own, with a network and settings that a CPU trains in minutes."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from nnunetv2_lwi.errors import UserError

CONFIGURATION = "3d_fullres"
NNUNET_PLANS = "nnUNetPlans"
DEMO_PLANS = "LWIDemoPlans"
LARGEST_PATCH_EDGE = 64
SMALLEST_FEATURE_MAP = 4
BATCH_SIZE = 2
FEATURES = (8, 16, 32, 64)
LWI_BLOCK: dict[str, Any] = {
    "order_weight": 1.0,
    "init": {"epochs": 6, "optimizer": "AdamW", "lr": 1e-3},
    "seg": {"epochs": 12, "optimizer": "AdamW", "lr": 1e-3},
    "iterations_per_epoch": 50,
    "val_iterations_per_epoch": 5,
    "seed": 0,
}


def demo_plans(plans: Mapping[str, Any]) -> dict[str, Any]:
    """nnU-Net's plans with one configuration, a small network on a patch of at most 64 voxels an edge, and an lwi block.

    The spacing stays, and with it ``data_identifier``: nnU-Net's preprocessed data serve.

    Raises:
        UserError: there is no 3D configuration.
    """
    from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

    if CONFIGURATION not in plans["configurations"]:
        raise UserError(f"nnU-Net planned no {CONFIGURATION} for this data set: the method needs 3D images.")
    configuration = deepcopy(plans["configurations"][CONFIGURATION])
    edges = [min(edge, LARGEST_PATCH_EDGE) for edge in configuration["patch_size"]]
    _, strides, kernel_sizes, patch_size, _ = get_pool_and_conv_props(
        configuration["spacing"], edges, SMALLEST_FEATURE_MAP, len(FEATURES) - 1
    )
    stages = len(strides)
    configuration["architecture"]["arch_kwargs"] |= {
        "n_stages": stages,
        "features_per_stage": list(FEATURES[:stages]),
        "strides": [list(stride) for stride in strides],
        "kernel_sizes": [list(kernel) for kernel in kernel_sizes],
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
    }
    configuration |= {"patch_size": [int(edge) for edge in patch_size], "batch_size": BATCH_SIZE, "lwi": deepcopy(LWI_BLOCK)}
    return {**plans, "plans_name": DEMO_PLANS, "configurations": {CONFIGURATION: configuration}}
