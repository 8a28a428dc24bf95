"""Presets and single values merged into nnU-Net's plans.

A preset says only what its paper fixes; everything else is inherited from one of nnU-Net's configurations. nnU-Net does
not merge blocks, so ``architecture`` and ``lwi`` are written whole, and data of another spacing get a name of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

import nnunetv2_lwi
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.inheritance import ancestry, resolve
from nnunetv2_lwi.planning.configuration import network_class, resolve_configuration
from nnunetv2_lwi.planning.overrides import ARCH_KWARGS, Overrides, check_overrides, get_value, set_values
from nnunetv2_lwi.planning.presets import Preset
from nnunetv2_lwi.planning.spacing import resampled_shape, same_spacing

ORIGIN_KEY = "nnunetv2_lwi"
"""Where a plans file of ours says what it was made from."""
MAY_BE_NULL = {"next_stage"}
"""Of ``--set``: null is the value; elsewhere it leaves what the parent has."""

DATA_KEYS = (
    "spacing", "normalization_schemes", "use_mask_for_norm", "preprocessor_name", "resampling_fn_data",
    "resampling_fn_data_kwargs", "resampling_fn_seg", "resampling_fn_seg_kwargs",
)  # fmt: skip
"""What nnU-Net's preprocessed data depend on."""

RANDOM_TWIN = "_random"
"""Ends the name of plans whose training starts random, and else is that of the plans without it."""

PATCH_OF_NETWORK = f"{ARCH_KWARGS}.patch_size"


def apply_preset(
    plans: Mapping[str, Any],
    preset: Preset,
    parent: str,
    new_plans_name: str,
    overrides: Overrides,
    segmentation_heads: int = 2,
) -> dict[str, Any]:
    """New plans: a copy of the old ones, with the preset's configuration.

    Args:
        plans: the content of a plans file; it stays as it is.
        preset: what to add.
        parent: the configuration to inherit from, or to change if the preset brings no network.
        new_plans_name: of the file to be written.
        overrides: values by dotted key, over the preset's.
        segmentation_heads: the data set's number of outputs.

    Raises:
        UserError: the parent cannot be used, or an override is not possible.
    """
    inherited = resolve_configuration(dict(plans), parent).configuration
    name = configuration_name(preset, parent)
    if preset.brings_network and name in ancestry(plans, parent):
        raise UserError(f"Configuration {parent} is preset {name} already: name one of nnU-Net's with -c.")
    configuration = deepcopy(preset.configuration)
    network = network_class(ConfigurationManager({**inherited, **configuration}))
    check_overrides(overrides, {**inherited, **configuration}, network)
    set_values(configuration, inherited, _from_plan(preset, {**inherited, **configuration}, overrides, segmentation_heads))
    set_values(configuration, inherited, overrides)
    null = overrides.keys() & MAY_BE_NULL
    configuration = {key: value for key, value in configuration.items() if value is not None or key in null}
    check_patch({**inherited, **configuration})
    configuration |= _own_data(configuration, inherited, f"{new_plans_name}_{name}")
    if preset.brings_network:
        configuration = {"inherits_from": parent, **configuration, **_no_next_stage(inherited)}
    else:
        configuration = {**plans["configurations"][parent], **configuration}
    return {
        **deepcopy(dict(plans)),
        "plans_name": new_plans_name,
        "configurations": {**deepcopy(plans["configurations"]), name: configuration},
        ORIGIN_KEY: {"version": nnunetv2_lwi.__version__, "made_from": plans["plans_name"], "preset": preset.name},
    }


def random_twin(plans: Mapping[str, Any], configuration: str) -> dict[str, Any]:
    """Plans of another name for the same training from a random start, on the same preprocessed data.

    Args:
        plans: as :func:`apply_preset` gives them, which name the data.

    Raises:
        UserError: the plans start random themselves.
    """
    block = deepcopy(resolve(plans, configuration).get("lwi") or {})
    seg = block.setdefault("seg", {})
    if seg.get("start") == "random":
        raise UserError('--baseline: these plans start random themselves ("start": "random" in lwi.seg).')
    seg["start"] = "random"
    twin = deepcopy(dict(plans))
    twin["plans_name"] = f"{plans['plans_name']}{RANDOM_TWIN}"
    twin["configurations"][configuration] |= {"lwi": block}
    return twin


def override_values(configuration: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    """A copy of a resolved configuration with values by dotted key; the network's patch follows the configuration's.

    Raises:
        UserError: a key is unknown or a value not possible.
    """
    check_overrides(overrides, configuration, network_class(ConfigurationManager(dict(configuration))))
    changed = deepcopy(dict(configuration))
    set_values(changed, {}, {**_patch_of_network(configuration, overrides), **overrides})
    check_patch(changed)
    return changed


def configuration_name(preset: Preset, parent: str) -> str:
    """The preset's own, or its parent's where nnU-Net's network stays."""
    return preset.name if preset.brings_network else parent


def check_patch(configuration: Mapping[str, Any]) -> None:
    """Raises:
    UserError: the network is built for another patch than the one that is cut.
    """
    of_network = get_value(configuration, PATCH_OF_NETWORK)
    if of_network is not None and list(of_network) != list(configuration["patch_size"]):
        raise UserError(
            f"{PATCH_OF_NETWORK} = {list(of_network)} must equal patch_size = {list(configuration['patch_size'])}: set "
            "patch_size only, and the network's follows."
        )


def _from_plan(preset: Preset, configuration: Mapping[str, Any], overrides: Overrides, segmentation_heads: int) -> Overrides:
    """What follows from plan and data set: the keys that the preset leaves open, and the network's patch."""
    patch = overrides.get("patch_size", configuration["patch_size"])
    facts = {"patch_size": patch, "segmentation_heads": segmentation_heads}
    values = {key: facts[fact] for key, fact in preset.from_plan.items()}
    return values | _patch_of_network(configuration, overrides)


def _patch_of_network(configuration: Mapping[str, Any], overrides: Overrides) -> Overrides:
    """The network's own patch where it has one and ``patch_size`` is set."""
    if "patch_size" not in overrides or get_value(configuration, PATCH_OF_NETWORK) is None:
        return {}
    return {PATCH_OF_NETWORK: overrides["patch_size"]}


def _own_data(configuration: Mapping[str, Any], inherited: Mapping[str, Any], identifier: str) -> dict[str, Any]:
    """A data identifier, and the shape of the volumes, where the data differ from the parent's."""
    resampled = not same_spacing(configuration.get("spacing", inherited["spacing"]), inherited["spacing"])
    others = [key for key in DATA_KEYS if key != "spacing" and key in configuration]
    if not resampled and all(configuration[key] == inherited.get(key) for key in others):
        return {}
    own = {"data_identifier": configuration.get("data_identifier", identifier)}
    if resampled and "median_image_size_in_voxels" in inherited:
        shape = inherited["median_image_size_in_voxels"]
        own["median_image_size_in_voxels"] = resampled_shape(shape, inherited["spacing"], configuration["spacing"])
    return own


def _no_next_stage(inherited: Mapping[str, Any]) -> dict[str, Any]:
    """A child of nnU-Net's 3d_lowres is not the first stage of its cascade."""
    return {"next_stage": None} if inherited.get("next_stage") else {}
