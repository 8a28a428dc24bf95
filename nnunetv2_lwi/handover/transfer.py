"""Which weights go over from step 1 to step 2, and which stay as they were drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.handover.step1 import Step1

OUTPUT_LAYERS = ".seg_layers."
"""nnU-Net's mark of output layers, which are never handed over."""


@dataclass(frozen=True)
class Transfer:
    """What went over and what did not."""

    taken: list[str]
    left: list[str]
    """Output layers."""
    unwanted: list[str]
    """What the plan does not hand over."""
    untrained: list[str]
    source: str = "step 1"

    def __str__(self) -> str:
        total = len(self.taken) + len(self.left) + len(self.unwanted)
        text = f"{len(self.taken)} of {total} tensors come from {self.source}"
        if self.left:
            text += f"; {len(self.left)} stay random, being output layers: {', '.join(self.left)}"
        if self.unwanted:
            text += (
                f"; {len(self.unwanted)} stay as drawn, since the plan does not hand them over (lwi.seg.hand_over): "
                f"{shortened(self.unwanted)}"
            )
        if self.untrained:
            text += (
                f"; {len(self.untrained)} of those taken are as random as they were drawn, since step 1 did not train them "
                f"(lwi.reconstruction_weight is 0): {shortened(self.untrained)}"
            )
        return text + "."


def misfits(weights: Mapping[str, Tensor], network: nn.Module, with_output_layers: bool = False) -> list[str]:
    """What keeps weights from being loaded into a network: missing keys and other shapes, output layers aside or not."""
    problems = []
    for key, tensor in network.state_dict().items():
        if OUTPUT_LAYERS in key and not with_output_layers:
            continue
        if key not in weights:
            problems.append(f"{key} is missing")
        elif weights[key].shape != tensor.shape:
            problems.append(f"{key} has shape {list(weights[key].shape)}, here {list(tensor.shape)}")
    return problems


def output_layers(network: nn.Module) -> list[str]:
    """Keys of what is never handed over, neither here nor by nnU-Net."""
    return [key for key in network.state_dict() if OUTPUT_LAYERS in key]


def hand_over(step1: Step1, network: nn.Module, wanted: Iterable[str]) -> Transfer:
    """Copy what is wanted, and no output layer, into the network.

    Args:
        wanted: keys; see :func:`~nnunetv2_lwi.handover.parts.keys_handed_over`.

    Raises:
        UserError: a key is missing or has another shape; the network is left as it was.
    """
    problems = misfits(step1.trained, network)
    if problems:
        raise UserError(f"{step1.path} does not fit the network of this plan: {shortened(problems)}.")
    transfer = plan_transfer(network, wanted, step1.untrained)
    overwrite(network, {key: step1.trained[key] for key in transfer.taken})
    return transfer


def plan_transfer(network: nn.Module, wanted: Iterable[str], untrained: Iterable[str] = ()) -> Transfer:
    """Which keys of a network come from elsewhere and which do not.

    Args:
        wanted: as for :func:`hand_over`.
        untrained: keys of the weights that come which were never trained.
    """
    keys, left, wanted = list(network.state_dict()), output_layers(network), set(wanted)
    taken = [key for key in keys if key in wanted and key not in left]
    unwanted = [key for key in keys if key not in wanted and key not in left]
    return Transfer(taken, left, unwanted, [key for key in untrained if key in taken])


@torch.no_grad()
def overwrite(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights and buffers into a network, by their keys."""
    state = network.state_dict()
    for key, tensor in weights.items():
        state[key].copy_(tensor)
