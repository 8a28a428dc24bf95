"""Optimiser and learning rate schedule as a plan's ``lwi`` block names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import cos, pi
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nnunetv2_lwi.planning.settings import TrainingSettings

POLY_EXPONENT = 0.9
"""nnU-Net's."""


def build_optimizer(parameters: Iterable[nn.Parameter], settings: TrainingSettings) -> Optimizer:
    """The optimiser over the parameters that are trained; frozen ones are left out."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if settings.optimizer == "AdamW":
        return torch.optim.AdamW(trained, settings.lr, betas=settings.betas, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        trained,
        settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov,
    )


def optimizer_of(state: Mapping[str, Any]) -> str:
    """Which optimiser wrote a state dict, and how many tensors it trains, in words."""
    groups = state["param_groups"]
    name = "AdamW" if "betas" in groups[0] else "SGD"
    return f"{name} of {sum(len(group['params']) for group in groups)} tensors"


def rate_factor(epoch: int, settings: TrainingSettings) -> float:
    """What the learning rate is multiplied by in an epoch.

    It rises linearly to 1 over the warm-up, (1, 2, ...) / (warm-up + 1); what remains of the epochs follows the schedule
    from 1 towards 0.
    """
    if epoch < settings.warmup_epochs:
        return (epoch + 1) / (settings.warmup_epochs + 1)
    progress = (epoch - settings.warmup_epochs) / (settings.epochs - settings.warmup_epochs)
    if settings.schedule == "poly":
        return float((1 - progress) ** POLY_EXPONENT)
    if settings.schedule == "cosine":
        return (1 + cos(pi * progress)) / 2
    return 1.0


class EpochSchedule(LRScheduler):
    """A schedule that, like nnU-Net's, is told the epoch: ``step(epoch)``."""

    def __init__(self, optimizer: Optimizer, settings: TrainingSettings) -> None:
        self.settings = settings
        super().__init__(optimizer)

    def step(self, epoch: int | None = None) -> None:
        """Set the rate of an epoch; without one, of the first."""
        rate = self.settings.lr * rate_factor(epoch or 0, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def get_last_lr(self) -> list[float | Tensor]:
        """The rate of each parameter group, as torch's schedules tell it."""
        return [group["lr"] for group in self.optimizer.param_groups]
