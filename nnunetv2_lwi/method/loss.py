"""Step 1's loss: order prediction plus reconstruction (paper, section III-C, eqs. 7 to 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_lwi.method.pretext_network import PretextOutput
from nnunetv2_lwi.method.reconstruction import reconstruction_loss
from nnunetv2_lwi.method.transformation import TransformedBatch
from nnunetv2_lwi.planning.settings import LWISettings


def order_loss(order_logits: Sequence[Tensor], order: Tensor) -> Tensor:
    """Cross-entropy averaged over positions and samples, summed over levels.

    (Equation 7 sums over positions; the mean keeps the order's weight from growing with B.)

    Args:
        order_logits: one (N, B, B) per level.
        order: (N, B), the original index of the slab at each position.
    """
    return torch.stack([functional.cross_entropy(logits.flatten(0, 1), order.flatten()) for logits in order_logits]).sum()


def order_accuracy(logits: Tensor, order: Tensor) -> Tensor:
    """Share of positions of logits (N, B, B) whose slab is named right."""
    return (logits.argmax(-1) == order).float().mean()


@dataclass(frozen=True)
class PretextLoss:
    """Order and reconstruction, each with its weight, beside the figures that the log shows."""

    order_weight: float
    reconstruction_weight: float
    level_indices: tuple[int, ...]

    @classmethod
    def of(cls, settings: LWISettings, level_indices: Sequence[int]) -> PretextLoss:
        """The loss that a plan asks for."""
        return cls(settings.order_weight, settings.reconstruction_weight, tuple(level_indices))

    @property
    def names(self) -> list[str]:
        """The keys of what a call returns: the loss, and what it consists of."""
        reconstruction = ["reconstruction_loss"] if self.reconstruction_weight > 0 else []
        order = ["order_loss", *map(accuracy_name, self.level_indices)] if self.order_weight > 0 else []
        return ["loss", *reconstruction, *order]

    def __call__(self, output: PretextOutput, batch: TransformedBatch) -> dict[str, Tensor]:
        """Scalars by name; ``loss`` is the one to minimise."""
        terms: dict[str, Tensor] = {}
        total = torch.zeros((), device=batch.shuffled.device)
        if output.reconstruction is not None:
            terms["reconstruction_loss"] = reconstruction_loss([output.reconstruction, *output.coarse], batch.shuffled)
            total = total + self.reconstruction_weight * terms["reconstruction_loss"]
        if output.order_logits:
            terms["order_loss"] = order_loss(output.order_logits, batch.order)
            total = total + self.order_weight * terms["order_loss"]
            for index, logits in zip(self.level_indices, output.order_logits, strict=True):
                terms[accuracy_name(index)] = order_accuracy(logits, batch.order)
        return {"loss": total, **terms}


def accuracy_name(level_index: int) -> str:
    """What the order accuracy at a level is called in logs and summaries."""
    return f"order_accuracy_level_{level_index}"
