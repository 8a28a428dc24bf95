"""A step 1 that is trained on, with more scans without labels, say: it starts anew from its old weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from nnunetv2_lwi.handover.checkpoint import LWI_KEY, newest_checkpoint, read_checkpoint
from nnunetv2_lwi.handover.step1 import require_step1
from nnunetv2_lwi.handover.transfer import misfits, overwrite
from nnunetv2_lwi.names import STEP1_TRAINER

BEFORE_GROWTH = "before_growth"
"""Stands in the name of the folder that keeps an earlier step 1, beside the fold's."""


def put_aside(fold_folder: Path) -> Path:
    """Give the folder of a step 1 another name, so that its successor has room.

    Returns:
        The folder as it is called now.
    """
    earlier = _earlier(fold_folder)
    number = _number(earlier[-1]) + 1 if earlier else 1
    return fold_folder.rename(fold_folder.with_name(f"{fold_folder.name}_{BEFORE_GROWTH}_{number}"))


def earlier_weights(fold_folder: Path) -> Path | None:
    """The checkpoint of the step 1 that was put aside last, if any was."""
    earlier = _earlier(fold_folder)
    return newest_checkpoint(earlier[-1]) if earlier else None


def go_on_from(path: str | os.PathLike[str], network: nn.Module, order_heads: nn.Module) -> None:
    """All that a step 1 learned into another, as far as it fits: nnU-Net's ``-pretrained_weights`` takes what starts step 2.

    Args:
        path: of any checkpoint; another trainer's has nothing more to give.
        network: without the heads.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.get("trainer_name") != STEP1_TRAINER:
        return
    learned, shapes = require_step1(path, checkpoint).trained, {key: t.shape for key, t in network.state_dict().items()}
    overwrite(network, {key: tensor for key, tensor in learned.items() if tensor.shape == shapes.get(key)})
    heads = checkpoint[LWI_KEY].get("order_heads", {})
    if not misfits(heads, order_heads):
        order_heads.load_state_dict(heads)


def _earlier(fold_folder: Path) -> Sequence[Path]:
    found = fold_folder.parent.glob(f"{fold_folder.name}_{BEFORE_GROWTH}_*")
    return sorted((path for path in found if path.name.rpartition("_")[2].isdecimal()), key=_number)


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("_")[2])
