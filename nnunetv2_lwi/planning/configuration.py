"""The configuration of a plans file that a training asks for: resolved, looked at, and what follows from it."""

from __future__ import annotations

import pydoc
from collections.abc import Mapping
from typing import Any

from nnunetv2.utilities.label_handling.label_handling import LabelManager, determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.inheritance import resolve
from nnunetv2_lwi.planning.plan_rules import require_configuration, require_dataset_json, require_plans
from nnunetv2_lwi.planning.spacing import spacing_problem


def resolve_configuration(plans: dict[str, Any], name: str) -> ConfigurationManager:
    """The configuration of that name, inheritance resolved.

    Raises:
        UserError: the plans have no such configuration or hold nonsense, it is 2D or the second stage of a cascade, or it
            inherits data of another spacing.
    """
    require_plans(plans)
    configurations: Mapping[str, Any] = plans["configurations"]
    if name not in configurations:
        raise UserError(f"Plans {plans['plans_name']} have no configuration {name}. They have: {', '.join(configurations)}.")
    configuration = _resolve(plans, name)
    require_configuration(configuration.configuration, name)
    if len(configuration.patch_size) != 3:
        raise UserError(
            f"Configuration {name} is 2D, and step 1 works on 3D patches: use a 3D configuration{_suggestion(plans, name)}."
        )
    if configuration.previous_stage_name is not None:
        raise UserError(
            f"Configuration {name} is the second stage of a cascade, whose input holds segmentations; step 1 may see no "
            f"labels. Use a configuration without a previous stage{_suggestion(plans, name)}."
        )
    problem = spacing_problem(plans, name)
    if problem is not None:
        raise UserError(problem)
    return configuration


def _resolve(plans: dict[str, Any], name: str) -> ConfigurationManager:
    """nnU-Net's way: it stops at parents that do not exist or inherit from each other."""
    try:
        return PlansManager(plans).get_configuration(name)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(
            f"Configuration {name} of plans {plans['plans_name']} cannot be resolved by nnU-Net: {error} Correct its "
            "inherits_from and architecture in the plans file, or plan again."
        ) from error


def count_channels(plans: dict[str, Any], configuration: ConfigurationManager, dataset_json: dict[str, Any]) -> int:
    """Image channels, C.

    Raises:
        UserError: dataset.json is nonsense, or names other channels than the plan was made for.
    """
    label_manager(plans, dataset_json)
    channels = int(determine_num_input_channels(PlansManager(plans), configuration, dataset_json))
    planned = len(configuration.normalization_schemes)
    if channels != planned:
        raise UserError(
            f"dataset.json names {channels} image channels, but the plan was made for {planned}: correct it, or plan and "
            "preprocess again (nnUNetv2_plan_and_preprocess)."
        )
    return channels


def label_manager(plans: dict[str, Any], dataset_json: dict[str, Any]) -> LabelManager:
    """The labels of the data set, as nnU-Net reads them.

    Raises:
        UserError: dataset.json is nonsense.
    """
    require_dataset_json(dataset_json)
    try:
        return PlansManager(plans).get_label_manager(dataset_json)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"nnU-Net cannot read the labels in dataset.json: {error} Correct them.") from error


def _suggestion(plans: dict[str, Any], unusable: str) -> str:
    usable = [name for name in plans["configurations"] if name != unusable and _is_usable(resolve(plans, name))]
    return f": {' or '.join(usable)}" if usable else "; these plans have none"


def _is_usable(configuration: Mapping[str, Any]) -> bool:
    """Whether a neighbour, which may be broken, looks like a 3D configuration without a previous stage."""
    patch = configuration.get("patch_size")
    return isinstance(patch, list) and len(patch) == 3 and configuration.get("previous_stage") is None


def network_class(configuration: ConfigurationManager) -> Any:
    """The class that the plan names.

    Raises:
        UserError: it cannot be imported.
    """
    name = configuration.network_arch_class_name
    try:
        found = pydoc.locate(name)
    except pydoc.ErrorDuringImport as error:
        raise UserError(f"The plan's network class {name} cannot be imported: {error.value}.") from error
    if found is None:
        raise UserError(f"The plan's network class {name} does not exist: install its package or correct the plans file.")
    return found
