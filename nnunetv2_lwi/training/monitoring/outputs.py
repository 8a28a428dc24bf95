"""Step 2's outputs under deep supervision, each by itself: a last decoder stage that is stuck shows in no loss.

The training loss falls from the coarse outputs alone while the one at full resolution stays flat, and nnU-Net's pseudo Dice
looks at that one only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from nnunetv2.training.loss.dice import get_tp_fp_fn_tn
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from numpy.typing import NDArray
from torch import Tensor, nn

EPOCHS_WATCHED = 10
"""The first of a training."""
LEARNS, FLAT = 0.3, 0.05
"""Dice from which on a coarse output learns, and up to which the one at full resolution does not."""


@contextmanager
def outputs_of(network: nn.Module) -> Iterator[list[Tensor]]:
    """What a network gives in the block, full resolution first, without running it again."""
    outputs: list[Tensor] = []

    def note(_: nn.Module, __: Any, output: Any) -> None:
        outputs[:] = output if isinstance(output, (list, tuple)) else [output]

    hook = network.register_forward_hook(note)
    try:
        yield outputs
    finally:
        hook.remove()


def count_hits(logits: Tensor, target: Tensor, label_manager: LabelManager) -> NDArray[np.float64]:
    """True positives, false positives and false negatives of each foreground class or region, as nnU-Net counts them.

    Args:
        logits: (N, K, D, H, W).
        target: (N, 1, D, H, W), or the regions' channels, as nnU-Net's loader gives it at that scale.

    Returns:
        (3, classes).
    """
    mask = None
    if label_manager.has_regions:
        predicted = (torch.sigmoid(logits) > 0.5).long()
        if label_manager.has_ignore_label:
            mask, target = 1 - target[:, -1:].float(), target[:, :-1]
    else:
        predicted = torch.zeros_like(logits).scatter_(1, logits.argmax(1)[:, None], 1)
        if label_manager.has_ignore_label:
            mask = (target != label_manager.ignore_label).float()
            target = torch.where(target == label_manager.ignore_label, 0, target)
    axes = [0, *range(2, logits.dim())]
    counts = np.stack([part.double().cpu().numpy() for part in get_tp_fp_fn_tn(predicted, target, axes=axes, mask=mask)[:3]])
    return counts if label_manager.has_regions else counts[:, 1:]


def mean_dice(counts: NDArray[np.float64]) -> float:
    """Over the classes of counts (3, classes); one that is in neither truth nor prediction does not count."""
    hits, false_positives, false_negatives = counts
    total = 2 * hits + false_positives + false_negatives
    return float(np.mean(2 * hits[total > 0] / total[total > 0])) if (total > 0).any() else float("nan")


def describe_outputs(dice: Sequence[float]) -> Iterator[str]:
    """Lines for the log, of the Dice of every output, full resolution first."""
    yield f"Dice by output, full resolution first: {', '.join(f'{value:.2f}' for value in dice)}"
    full, *coarse = dice
    if coarse and max(coarse) >= LEARNS and full <= FLAT:
        yield (
            f"WARNING: the last decoder stage is stuck: outputs at lower resolutions learn (Dice {max(coarse):.2f}) and "
            f"the one at full resolution does not ({full:.2f}). If that lasts, hand over less: lwi.seg.hand_over encoder."
        )
