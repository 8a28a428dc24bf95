"""The trainers that are measured side by side on the same plan, and the batch that they step on."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.network_architecture.nnUNetTrainerNoDeepSupervision import (
    nnUNetTrainerNoDeepSupervision,
)
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from benchmarks.plans import Plan
from nnunetv2_lwi.networks.build import supports_deep_supervision
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg

CANDIDATES: dict[str, type] = {"LWIInit": nnUNetTrainerLWIInit, "LWISeg": nnUNetTrainerLWISeg}


def trainers_for(plan: Plan) -> dict[str, type]:
    """By name, nnU-Net's own first: without deep supervision where the plan's network has one output."""
    stock = (
        nnUNetTrainer if supports_deep_supervision(ConfigurationManager(plan.resolved)) else nnUNetTrainerNoDeepSupervision
    )
    return {stock.__name__: stock} | CANDIDATES


def make_trainer(cls: type, plan: Plan, device: torch.device) -> Any:
    """A trainer, ready to step."""
    plans = deepcopy(plan.plans) | {"continue_training": False}
    trainer = cls(plans, plan.configuration, 0, plan.dataset_json, device)
    trainer.initialize()
    trainer.network.train()
    return trainer


def make_batch(trainer: Any) -> dict[str, Any]:
    """A random batch as the loader gives it: image and, at every scale of deep supervision, target."""
    samples, patch = trainer.batch_size, trainer.configuration_manager.patch_size
    scales = trainer._get_deep_supervision_scales()
    labels = len(trainer.dataset_json["labels"])

    def target(scale: list[float]) -> torch.Tensor:
        shape = [round(edge * factor) for edge, factor in zip(patch, scale, strict=True)]
        return torch.randint(0, labels, (samples, 1, *shape), dtype=torch.int16)

    targets = target([1, 1, 1]) if scales is None else [target(scale) for scale in scales]
    return {"data": torch.randn(samples, trainer.num_input_channels, *patch), "target": targets}
