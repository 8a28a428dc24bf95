"""A step 1 that is trained on, with more scans without labels, say: it starts anew from its old weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from nnunetv2_lwi.handover.checkpoint import LWI_KEY, newest_checkpoint, read_checkpoint
from nnunetv2_lwi.handover.step1 import step1_in
from nnunetv2_lwi.handover.transfer import overwrite

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
    step1 = step1_in(path, checkpoint)
    if step1 is None:
        return
    overwrite(network, _that_fit(network, step1.trained))
    overwrite(order_heads, _that_fit(order_heads, checkpoint[LWI_KEY].get("order_heads", {})))


def _that_fit(module: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    shapes = {key: tensor.shape for key, tensor in module.state_dict().items()}
    return {key: tensor for key, tensor in weights.items() if tensor.shape == shapes.get(key)}


def _earlier(fold_folder: Path) -> Sequence[Path]:
    found = fold_folder.parent.glob(f"{fold_folder.name}_{BEFORE_GROWTH}_*")
    return sorted((path for path in found if path.name.rpartition("_")[2].isdecimal()), key=_number)


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("_")[2])
