"""Runs step 1's network on the CPU, once a case, for volumes that no file holds.

The network is built from the user's own plans, not from those in the checkpoint, so that a checkpoint names no code to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from math import prod
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from torch import nn
from tqdm import tqdm

from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.handover.checkpoint import LWI_KEY, lacking_keys, read_checkpoint
from nnunetv2_lwi.handover.digest import differing_keys, make_digest
from nnunetv2_lwi.handover.transfer import misfits
from nnunetv2_lwi.method.loss import PretextLoss
from nnunetv2_lwi.method.pretext_network import PretextNetwork, build_pretext_network
from nnunetv2_lwi.method.transformation import Transformation
from nnunetv2_lwi.networks.build import telling_what_cannot_be_built
from nnunetv2_lwi.nnunet.target import Target
from nnunetv2_lwi.planning.configuration import count_channels, resolve_configuration
from nnunetv2_lwi.planning.settings import LWISettings
from nnunetv2_lwi.training.monitoring.pictures import PretextExample
from nnunetv2_lwi.training.monitoring.validation import PretextEvaluator, load_image

CPU = torch.device("cpu")
CASES = 2
"""Of which slices are shown unless the user says otherwise."""
SMALL = 96**3
"""Voxels of a patch up to which that is so: a full-size network of nnU-Net takes seconds for it on a CPU."""


def is_small(configuration: Mapping[str, Any]) -> bool:
    """Whether the patch is such that slices are rendered without being asked for."""
    patch = configuration.get("patch_size")
    return isinstance(patch, (list, tuple)) and all(isinstance(edge, int) for edge in patch) and prod(patch) <= SMALL


def make_examples(checkpoint: Path, target: Target, number: int) -> dict[str, PretextExample]:
    """Of the first validation cases, by name.

    Raises:
        UserError: the plan changed since, or no validation case is preprocessed here.
    """
    evaluate = read_evaluator(checkpoint, target)
    resolved = resolve_configuration(target.plans, target.configuration)
    folder = target.plans_file.parent / resolved.data_identifier
    split = target.cases()
    if split is None or not folder.is_dir():
        raise UserError(f"The preprocessed cases are not in {folder}.")
    dataset = infer_dataset_class(str(folder))
    there = set(dataset.get_identifiers(str(folder)))
    cases = [case for case in sorted(split.val) if case in there][:number]
    if not cases:
        raise UserError(f"No validation case is in {folder}.")
    return {
        case: evaluate.example(load_image(dataset(str(folder), [case]), case), resolved.spacing)
        for case in tqdm(cases, "Rendering slices", disable=None)
    }


def read_evaluator(checkpoint: Path, target: Target) -> PretextEvaluator:
    """Step 1's network as trained, with what it is evaluated by.

    Raises:
        UserError: the checkpoint is damaged, or was trained with another plan than there is now.
    """
    resolved = resolve_configuration(target.plans, target.configuration)
    settings = LWISettings.from_configuration(resolved.configuration)
    channels = count_channels(target.plans, resolved, target.dataset_json)
    content = read_checkpoint(checkpoint)
    state = content.get(LWI_KEY, {})
    lacking = lacking_keys(state, {"digest": (), "order_heads": ()})
    if lacking:
        raise UserError(f"{checkpoint} is damaged: it holds no {', '.join(lacking)}.")
    changes = differing_keys(state["digest"], make_digest(resolved.configuration, channels, settings))
    if changes:
        raise UserError(f"The plan changed since: {shortened(changes)}.")
    with telling_what_cannot_be_built(resolved):
        pretext = build_pretext_network(resolved, channels, settings)
    weights = {**content["network_weights"], **state.get("kept_back", {})}
    _load(pretext, weights, state["order_heads"], checkpoint)
    depth, height, width = resolved.patch_size
    transformation = Transformation(
        (depth, height, width), pretext.slabs, settings.masking if settings.reconstructs else None
    )
    loss = PretextLoss.of(settings, [level.index for level in pretext.order_heads.levels])
    encoder: nn.Module = pretext.network.encoder  # type: ignore[assignment]
    return PretextEvaluator(pretext, encoder, transformation, loss, CPU, nullcontext)


def _load(pretext: PretextNetwork, weights: dict[str, Any], heads: dict[str, Any], checkpoint: Path) -> None:
    problems = misfits(weights, pretext.network, with_output_layers=True) + misfits(heads, pretext.order_heads)
    if problems:
        raise UserError(f"{checkpoint} does not fit the network of the plan: {shortened(problems)}.")
    pretext.network.load_state_dict(weights)
    pretext.order_heads.load_state_dict(heads)
    pretext.eval()
