"""What must hold before a trainer makes a folder: each failure is one line that says what to do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_lwi.disk import require_writable
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.digest import Digest, make_digest
from nnunetv2_lwi.names import FINAL, STEP1_TRAINER
from nnunetv2_lwi.nnunet.command_line import begins_anew, given_names
from nnunetv2_lwi.nnunet.folders import folder_of, require_preprocessed
from nnunetv2_lwi.nnunet.split_file import require_fold
from nnunetv2_lwi.nnunet.target import Target, require_own_names
from nnunetv2_lwi.one_writer import require_no_writer
from nnunetv2_lwi.planning.configuration import count_channels, resolve_configuration
from nnunetv2_lwi.planning.data_spacing import require_spacing_of_plan
from nnunetv2_lwi.planning.intensities import warnings_of_intensities
from nnunetv2_lwi.planning.plan_rules import misplaced_blocks, require_augmentable
from nnunetv2_lwi.planning.recipes import Decision
from nnunetv2_lwi.planning.settings import LWISettings, decisions
from nnunetv2_lwi.training.machine.devices import require_compiler, require_device
from nnunetv2_lwi.training.machine.distributed import is_first_rank
from nnunetv2_lwi.training.step2_needs import problems_of_step2, require_step2
from nnunetv2_lwi.unlabelled.alone import is_alone, require_fold_all


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
    target: Target
    output_folder: Path
    warnings: list[str]
    """What does not stop the training, each as a sentence with its remedy."""


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
    require_compiler(device)
    _require_loggers()
    names = given_names()
    if names is not None:
        require_own_names(plans, names.dataset, names.plans)
    configuration = resolve_configuration(plans, name)
    settings = LWISettings.from_configuration(configuration.configuration)
    require_augmentable(configuration.patch_size)
    dataset, plans_name = plans["dataset_name"], plans["plans_name"]
    require_preprocessed(dataset, configuration.data_identifier, plans_name, name)
    folder = folder_of("nnUNet_preprocessed") / dataset
    require_fold_all(configuration.configuration, fold)
    require_fold(folder, configuration.data_identifier, fold)
    if not is_alone(configuration.configuration):  # of scans the journal says by which plan they were made
        require_spacing_of_plan(folder / configuration.data_identifier, plans, configuration.configuration)
    target = Target(dataset, plans_name, name, fold, plans, dataset_json, folder / f"{plans_name}.json")
    output = target.output_folder(trainer)
    require_writable(output)
    if begins_anew():
        _require_no_finished_training(output)
    if is_first_rank():
        require_no_writer(output)
    channels = count_channels(plans, configuration, dataset_json)
    digest = make_digest(configuration.configuration, channels, settings)
    warnings = warnings_of_intensities(plans, configuration.configuration) + misplaced_blocks(plans, name)
    if trainer == STEP1_TRAINER and is_alone(configuration.configuration):
        pass  # there is no step 2 of this data set
    elif trainer == STEP1_TRAINER:
        warnings += [f"step 2 would be refused: {problem}" for problem in problems_of_step2(target)]
    else:
        require_step2(target)
    decided = decisions(configuration.configuration)
    return Prepared(configuration, settings, decided, channels, digest, target, output, warnings)


def _require_no_finished_training(folder: Path) -> None:
    """A finished training is not trained over: killed then, the new one would be taken for the old one, whose weights
    ``--c`` finds first.

    Raises:
        UserError: there is one.
    """
    if (folder / FINAL).is_file():
        raise UserError(
            f"{folder} holds a finished training ({FINAL}), which this command would train over: move the folder away to "
            "train anew, or append --val to validate it."
        )


def _require_loggers() -> None:
    """Raises:
    UserError: Weights & Biases is asked for and not there.
    """
    if os.environ.get("nnUNet_wandb_enabled", "0").lower() in ("1", "true", "t") and find_spec("wandb") is None:
        raise UserError("nnUNet_wandb_enabled is set, but wandb is not installed: pip install wandb, or unset the variable.")
