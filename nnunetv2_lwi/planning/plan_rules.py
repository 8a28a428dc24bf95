"""What plans and ``dataset.json`` must hold for a training: a file edited by hand is told by key, value and rule."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.nnunet.inheritance import ancestry
from nnunetv2_lwi.planning.settings import POSITIVE, TRUE_OR_FALSE, Rule, is_list_of, whole_number

NAME = Rule("a name", lambda value: isinstance(value, str) and value != "")
BLOCK = Rule("an object {...}", lambda value: isinstance(value, Mapping))
BLOCK_WITH_ENTRIES = Rule("an object {...} with entries", lambda value: isinstance(value, Mapping) and len(value) > 0)

PLANS = {
    "dataset_name": Rule(
        "a name like Dataset004_Name",
        lambda value: isinstance(value, str) and re.fullmatch(r"Dataset\d{3,}_.+", value) is not None,
    ),
    "plans_name": NAME,
    "configurations": Rule(
        "an object of configurations {...}",
        lambda value: isinstance(value, Mapping) and all(map(BLOCK.holds, value.values())),
    ),
}

CONFIGURATION = {
    "data_identifier": NAME,
    "batch_size": whole_number(1),
    "patch_size": Rule(
        "two or three whole numbers, at least 1",
        lambda value: is_list_of(value, whole_number(1).holds) and len(value) in (2, 3),
    ),
    "spacing": Rule(
        "two or three numbers above 0", lambda value: is_list_of(value, POSITIVE.holds) and len(value) in (2, 3)
    ),
    "normalization_schemes": Rule("a list of names", lambda value: is_list_of(value, NAME.holds) and len(value) > 0),
    "use_mask_for_norm": Rule("a list of true or false", lambda value: is_list_of(value, TRUE_OR_FALSE.holds)),
    "batch_dice": TRUE_OR_FALSE,
    "architecture": BLOCK,
}

ARCHITECTURE = {
    "network_class_name": NAME,
    "arch_kwargs": BLOCK,
    "_kw_requires_import": Rule("a list of names", lambda value: is_list_of(value, NAME.holds)),
}

DATASET_JSON = {"labels": BLOCK_WITH_ENTRIES, "file_ending": NAME}

THINNEST_PATCH = 4
"""nnU-Net's blur mirrors an image at its borders, by up to three voxels; what is mirrored must be inside."""

BLOCK_NAME = "lwi"
"""Of the settings of a configuration."""

PLAN_AGAIN = "Correct the plans file, or plan again"


def require(rules: Mapping[str, Rule], block: Mapping[str, Any], where: str, remedy: str) -> None:
    """Raises:
    UserError: a key is missing, or its value breaks its rule.
    """
    for key, rule in rules.items():
        if key not in block:
            raise UserError(f"{key} is missing in {where}: it must be {rule.allowed}. {remedy}.")
        if not rule.holds(block[key]):
            raise UserError(f"{key} = {block[key]!r} in {where} is not allowed: it must be {rule.allowed}. {remedy}.")


def require_plans(plans: Mapping[str, Any]) -> None:
    """Raises:
    UserError: the plans hold no usable names or configurations.
    """
    require(PLANS, plans, f"plans {plans.get('plans_name')}", PLAN_AGAIN)


def require_configuration(configuration: Mapping[str, Any], name: str) -> None:
    """Raises:
    UserError: a resolved configuration lacks what a training reads, or holds nonsense there.
    """
    where = f"configuration {name} of the plans"
    require(CONFIGURATION, configuration, where, PLAN_AGAIN)
    require(ARCHITECTURE, configuration["architecture"], f"the architecture of {where}", PLAN_AGAIN)


def misplaced_blocks(plans: Mapping[str, Any], name: str) -> list[str]:
    """One text per block that looks as if it were meant as the ``lwi`` block of a configuration, and is not read.

    Raises:
        UserError: it stands where no configuration's block can be meant, or under a name that is nearly right.
    """
    inherited = list(ancestry(plans, name))
    blocks = {f"configuration {one}": plans["configurations"][one] for one in inherited}
    for where, block in {"the plans": plans, **blocks}.items():
        wrong = [key for key in block if _is_nearly(key) and (key != BLOCK_NAME or where == "the plans")]
        wrong += [f"architecture.{key}" for key in block.get("architecture") or () if _is_nearly(key)]
        if wrong:
            raise UserError(
                f"{wrong[0]} in {where} is read by nobody: settings of step 1 and step 2 stand in {BLOCK_NAME} of the "
                f"configuration that is trained, configurations.{name}.{BLOCK_NAME}. Move it there."
            )
    elsewhere = [other for other, block in plans["configurations"].items() if BLOCK_NAME in block and other not in inherited]
    if elsewhere and not any(BLOCK_NAME in plans["configurations"][one] for one in inherited):
        return [f"configuration {name} has no {BLOCK_NAME} block, and that of {shortened(elsewhere)} is not read for it."]
    return []


def _is_nearly(key: str) -> bool:
    return bool(difflib.get_close_matches(key.strip("_- ").lower(), [BLOCK_NAME], cutoff=0.65))


def require_dataset_json(dataset_json: Mapping[str, Any]) -> None:
    """Raises:
    UserError: no channels, labels or file ending.
    """
    where, remedy = "dataset.json", "Correct it in nnUNet_raw and nnUNet_preprocessed"
    channels = "modality" if "modality" in dataset_json else "channel_names"
    require({channels: BLOCK_WITH_ENTRIES, **DATASET_JSON}, dataset_json, where, remedy)


def require_augmentable(patch_size: list[int]) -> None:
    """Raises:
    UserError: the patch (D, H, W) is too thin for nnU-Net's augmentation, which would stop the training at some step.
    """
    if min(patch_size) < THINNEST_PATCH:
        raise UserError(
            f"patch_size = {list(patch_size)} in the plan is too thin for nnU-Net's augmentation: its blur needs at least "
            f"{THINNEST_PATCH} voxels along every axis. Enlarge the patch; smaller images are padded."
        )
