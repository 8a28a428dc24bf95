"""From step 1 to step 2: which weights go over, and whether a step 1 may start a given training at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from nnunetv2_lwi.checkpoint import LWI_KEY, read_checkpoint, require_format
from nnunetv2_lwi.digest import Digest, differing_keys
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.names import STEP1_TRAINER

OUTPUT_LAYERS = ".seg_layers."
"""nnU-Net's mark of output layers, which are never handed over."""

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
"""Normalization layers: instance and batch normalization, and those of transformers."""

PROVENANCE = ("dataset_name", "plans_name", "configuration", "fold", "cases", "versions")
"""What a step 1 says of where it comes from."""


@dataclass(frozen=True)
class Step1:
    """A finished step 1, read from its checkpoint."""

    path: Path
    weights: dict[str, Tensor]
    digest: Digest
    provenance: dict[str, Any]
    """data set, plans, configuration, fold, cases (identifiers) and versions."""
    untrained: list[str]
    """Keys of ``weights`` that step 1 left as they were drawn."""

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        p = self.provenance
        return f"{p['dataset_name']}, plans {p['plans_name']}, configuration {p['configuration']}, fold {p['fold']}"


@dataclass
class Verdict:
    """Whether a step 1 fits: refusals say what differs, warnings what to know."""

    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def raise_if_refused(self, step1: Step1) -> None:
        """Raises:
        UserError: the step 1 does not fit.
        """
        if self.refusals:
            raise UserError(f"{step1.path} cannot start this training: {'; '.join(self.refusals)}.")


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
                f"; {len(self.unwanted)} stay as drawn, since the plan does not hand them over (lwi.seg.hand_over, "
                f"hand_over_norms): {shortened(self.unwanted)}"
            )
        if self.untrained:
            text += (
                f"; {len(self.untrained)} of those taken are as random as they were drawn, since step 1 did not train them "
                f"(lwi.reconstruction_weight is 0): {shortened(self.untrained)}"
            )
        return text + "."


def read_step1(path: str | os.PathLike[str]) -> Step1:
    """Read a step 1 checkpoint.

    Raises:
        UserError: it cannot be read, or is not the checkpoint of a step 1.
    """
    step1 = find_step1(path)
    if step1 is None:
        raise UserError(
            f"{path} is not the checkpoint of a step 1 but of trainer {read_checkpoint(path).get('trainer_name')}. Give the "
            f"checkpoint_final.pth of a training with -tr {STEP1_TRAINER}."
        )
    return step1


def find_step1(path: str | os.PathLike[str]) -> Step1 | None:
    """The step 1 that a checkpoint holds; None if it is another trainer's.

    Raises:
        UserError: it cannot be read, or is damaged.
    """
    checkpoint = read_checkpoint(path)
    ours = checkpoint.get(LWI_KEY)
    if checkpoint.get("trainer_name") != STEP1_TRAINER or not isinstance(ours, Mapping):
        return None
    require_format(path, ours)
    lacking = lacking_keys(ours, {"digest": (), "provenance": PROVENANCE})
    if lacking:
        raise UserError(f"{path} is damaged: its {LWI_KEY} holds no {', '.join(lacking)}. Use another one, or train again.")
    return Step1(
        Path(path), checkpoint["network_weights"], ours["digest"], ours["provenance"], list(ours.get("untrained", []))
    )


def lacking_keys(content: Mapping[str, Any], blocks: Mapping[str, Iterable[str]]) -> list[str]:
    """Which blocks, or keys within them, a content lacks."""
    lacking = []
    for block, keys in blocks.items():
        if not isinstance(content.get(block), Mapping):
            lacking.append(block)
        else:
            lacking += [f"{block}.{key}" for key in keys if key not in content[block]]
    return lacking


def judge(step1: Step1, digest: Digest, train_cases: Iterable[str], val_cases: Iterable[str], dataset_name: str) -> Verdict:
    """Compare a step 1 with the training that it is to start.

    A step 1 with other architecture, channels, patch, spacing or settings is refused by the names of what differs. One
    that saw images of cases which are only validated here gets a warning: the figures for those cases are not those of
    unseen images, though the labels were not seen.
    """
    verdict = Verdict(refusals=differing_keys(step1.digest, digest))
    if step1.provenance["dataset_name"] == dataset_name:
        seen = sorted(set(step1.provenance["cases"]) & (set(val_cases) - set(train_cases)))
        if seen:
            verdict.warnings.append(
                f"step 1 saw the images (not the labels) of {len(seen)} of this fold's validation cases: {shortened(seen)}"
            )
    return verdict


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


def keys_of_encoder(network: nn.Module) -> set[str]:
    """Keys whose tensors are the encoder's, also by another name: nnU-Net's decoders hold the encoder too."""
    encoder: nn.Module = network.encoder  # type: ignore[assignment]
    own = {tensor.data_ptr() for tensor in encoder.state_dict().values()}
    return {key for key, tensor in network.state_dict().items() if tensor.data_ptr() in own}


def keys_of_norms(network: nn.Module) -> set[str]:
    """Keys of scale and shift of every normalization layer, by every name; running statistics are not among them."""
    layers = (name for name, module in network.named_modules(remove_duplicate=False) if isinstance(module, NORMS))
    return {f"{name}.{parameter}" for name in layers for parameter in ("weight", "bias")}


def hand_over(step1: Step1, network: nn.Module, parts: str = "network", norms: bool = True) -> Transfer:
    """Copy every weight and buffer except output layers into the network, or those of its encoder.

    Args:
        parts: ``network`` or ``encoder``.
        norms: scale and shift of normalization layers too.

    Raises:
        UserError: a key is missing or has another shape; the network is left as it was.
    """
    problems = misfits(step1.weights, network)
    if problems:
        raise UserError(f"{step1.path} does not fit the network of this plan: {shortened(problems)}.")
    transfer = plan_transfer(network, parts, norms, step1.untrained)
    overwrite(network, {key: step1.weights[key] for key in transfer.taken})
    return transfer


def plan_transfer(network: nn.Module, parts: str, norms: bool, untrained: Iterable[str] = ()) -> Transfer:
    """Which keys of a network come from elsewhere and which do not; see :func:`hand_over` for ``parts`` and ``norms``.

    Args:
        untrained: keys of the weights that come which were never trained.
    """
    keys, left = list(network.state_dict()), output_layers(network)
    wanted = set(keys) if parts == "network" else keys_of_encoder(network)
    wanted -= set() if norms else keys_of_norms(network)
    taken = [key for key in keys if key in wanted and key not in left]
    unwanted = [key for key in keys if key not in wanted and key not in left]
    return Transfer(taken, left, unwanted, [key for key in untrained if key in taken])


@torch.no_grad()
def overwrite(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights and buffers into a network, by their keys."""
    state = network.state_dict()
    for key, tensor in weights.items():
        state[key].copy_(tensor)


def shortened(names: list[str], most: int = 4) -> str:
    """A list in words, cut after a few entries."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
