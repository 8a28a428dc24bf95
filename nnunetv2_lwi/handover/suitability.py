"""Whether checkpoints fit a training that is not running yet: what ``check`` and ``train`` ask."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.handover.checkpoint import LWI_KEY, lacking_keys, read_checkpoint, require_format
from nnunetv2_lwi.handover.digest import changed_step2, differing_keys, make_digest
from nnunetv2_lwi.handover.parts import keys_handed_over
from nnunetv2_lwi.handover.record import differences, record_of, with_scans
from nnunetv2_lwi.handover.step1 import Step1, Verdict, judge, read_step1
from nnunetv2_lwi.handover.transfer import Transfer, misfits, plan_transfer
from nnunetv2_lwi.method.pretext_network import build_pretext_network
from nnunetv2_lwi.names import STEP1_TRAINER
from nnunetv2_lwi.networks.build import build_network, telling_what_cannot_be_built
from nnunetv2_lwi.networks.dry_run import on_shapes
from nnunetv2_lwi.nnunet.split_file import Cases
from nnunetv2_lwi.planning.configuration import count_channels, label_manager, resolve_configuration
from nnunetv2_lwi.planning.settings import LWISettings


def check_step1(
    checkpoint: str | os.PathLike[str],
    plans: dict[str, Any],
    configuration: str,
    dataset_json: dict[str, Any],
    cases: Cases | None,
) -> tuple[Step1, Verdict, Transfer | None]:
    """Read a step 1 checkpoint and compare it with a training: settings, cases, images, and the weights themselves.

    Args:
        cases: of the training; None where nnU-Net has yet to draw them.

    Returns:
        The step 1, whether it fits, and, if it does, what the plan hands over.

    Raises:
        UserError: the checkpoint or the plan cannot be used at all.
    """
    resolved = resolve_configuration(plans, configuration)
    settings = LWISettings.from_configuration(resolved.configuration)
    step1 = read_step1(checkpoint)
    channels = count_channels(plans, resolved, dataset_json)
    digest = make_digest(resolved.configuration, channels, settings)
    here = with_scans(record_of(plans, resolved.configuration, cases, None), plans, resolved.configuration, settings.init)
    verdict = judge(step1, digest, here)
    if verdict.refusals:
        return step1, verdict, None
    with telling_what_cannot_be_built(resolved):
        network = on_shapes(lambda: build_pretext_network(resolved, channels, settings)).network
    verdict.refusals += misfits(step1.weights, network)
    wanted = keys_handed_over(network, settings.seg, channels, resolved.patch_size)
    return step1, verdict, None if verdict.refusals else plan_transfer(network, wanted, step1.untrained)


def check_weights(
    checkpoint: str | os.PathLike[str], plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any]
) -> list[str]:
    """Why a checkpoint, any trainer's, could not be ``-pretrained_weights`` of a training; one text per misfit.

    Raises:
        UserError: the checkpoint cannot be read without unpickling, or the plan cannot be used at all.
    """
    weights = read_checkpoint(checkpoint)["network_weights"]
    resolved = resolve_configuration(plans, configuration)
    channels, classes = count_channels(plans, resolved, dataset_json), label_manager(plans, dataset_json)
    with telling_what_cannot_be_built(resolved):
        network = on_shapes(lambda: build_network(resolved, channels, classes.num_segmentation_heads))
    return misfits(weights, network)


def read_run(checkpoint: str | os.PathLike[str], trainer: str) -> dict[str, Any]:
    """What a checkpoint of one of the two trainers says of its training.

    Raises:
        UserError: it cannot be read, is another trainer's, or is damaged.
    """
    return require_run(checkpoint, read_checkpoint(checkpoint), trainer)


def require_run(checkpoint: str | os.PathLike[str], content: Mapping[str, Any], trainer: str) -> dict[str, Any]:
    """The same of a checkpoint that was read.

    Raises:
        UserError: it is another trainer's, or is damaged.
    """
    state = content.get(LWI_KEY)
    if content.get("trainer_name") != trainer or not isinstance(state, dict):
        raise UserError(f"{checkpoint} is a checkpoint of {content.get('trainer_name')}, where one of {trainer} belongs.")
    require_format(checkpoint, state)
    lacking = lacking_keys(state, {"digest": ("lwi",), "start": ("kind",)})
    if lacking:
        raise UserError(f"{checkpoint} is damaged: its {LWI_KEY} holds no {', '.join(lacking)}. Move it away.")
    return state


def changes_since(
    state: dict[str, Any],
    trainer: str,
    plans: dict[str, Any],
    configuration: str,
    dataset_json: dict[str, Any],
    cases: Cases | None,
) -> list[str]:
    """One text per thing in which a training differs from one that is finished, or begun: settings, cases, data.

    Args:
        state: see :func:`read_run`.
        cases: of the training; None where nnU-Net has yet to draw them.

    Raises:
        UserError: the plan cannot be used at all.
    """
    resolved = resolve_configuration(plans, configuration)
    settings = LWISettings.from_configuration(resolved.configuration)
    digest = make_digest(resolved.configuration, count_channels(plans, resolved, dataset_json), settings)
    if trainer == STEP1_TRAINER:
        changes = differing_keys(state["digest"], digest)
        here = record_of(plans, resolved.configuration, cases, None, settings.init)
    else:
        changes = changed_step2(state, digest, settings)
        here = record_of(plans, resolved.configuration, cases, dataset_json)
    return changes + differences(state.get("run"), here)


def require_fitting(path: Path, network: nn.Module) -> None:
    """Check a file for ``-pretrained_weights`` before nnU-Net unpickles it.

    Args:
        network: as built from the plan; its weights are not read.

    Raises:
        UserError: the file cannot be read without unpickling, or does not fit the network, output layers aside.
    """
    problems = misfits(read_checkpoint(path)["network_weights"], network)
    if problems:
        raise UserError(f"-pretrained_weights {path} does not fit the network of this plan: {shortened(problems)}.")
