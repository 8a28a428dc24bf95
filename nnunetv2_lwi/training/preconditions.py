"""What must hold before a trainer makes a folder: each failure is one line that says what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_lwi.disk import require_writable
from nnunetv2_lwi.handover.digest import Digest, make_digest
from nnunetv2_lwi.nnunet.command_line import given_names
from nnunetv2_lwi.nnunet.folders import folder_of, output_folder, require_preprocessed
from nnunetv2_lwi.nnunet.split_file import require_fold
from nnunetv2_lwi.nnunet.target import require_own_names
from nnunetv2_lwi.planning.configuration import count_channels, resolve_configuration
from nnunetv2_lwi.planning.plan_rules import require_augmentable
from nnunetv2_lwi.planning.recipes import Decision
from nnunetv2_lwi.planning.settings import LWISettings, decisions
from nnunetv2_lwi.training.devices import require_device


@dataclass(frozen=True)
class Prepared:
    """What a trainer's arguments come to."""

    configuration: ConfigurationManager
    settings: LWISettings
    decisions: list[Decision]
    """What of the settings the plan leaves open."""
    channels: int
    """C, of the image."""
    digest: Digest


def require_trainable(
    trainer: str, plans: dict[str, Any], name: str, fold: int | str, dataset_json: dict[str, Any], device: torch.device
) -> Prepared:
    """Look at everything that a training needs and that can be known before it starts; nothing is written.

    Args:
        trainer: the class's name, which stands in the output folder's.
        name: of the configuration.

    Raises:
        UserError: the plan, the configuration, the device or the data do not allow the training.
    """
    require_device(device)
    names = given_names()
    if names is not None:
        require_own_names(plans, names.dataset, names.plans)
    configuration = resolve_configuration(plans, name)
    settings = LWISettings.from_configuration(configuration.configuration)
    require_augmentable(configuration.patch_size)
    dataset, plans_name = plans["dataset_name"], plans["plans_name"]
    require_preprocessed(dataset, configuration.data_identifier, plans_name, name)
    require_fold(folder_of("nnUNet_preprocessed") / dataset, configuration.data_identifier, fold)
    require_writable(output_folder(trainer, dataset, plans_name, name, fold))
    channels = count_channels(plans, configuration, dataset_json)
    digest = make_digest(configuration.configuration, channels, settings)
    return Prepared(configuration, settings, decisions(configuration.configuration), channels, digest)
