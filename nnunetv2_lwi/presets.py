"""Presets: published configurations as JSON files, merged into nnU-Net's plans.

A preset says only what its paper fixes; everything else is inherited from one of nnU-Net's configurations. nnU-Net does
not merge blocks, so ``architecture`` and ``lwi`` are written whole, and data of another spacing get a name of their own.
"""

from __future__ import annotations

import difflib
import importlib.resources
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import MISSING, dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

import nnunetv2_lwi
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.overrides import ARCH_KWARGS, Overrides, check_overrides, get_value, set_values
from nnunetv2_lwi.settings import LWISettings, as_json
from nnunetv2_lwi.spacing import ancestry, resampled_shape, same_spacing
from nnunetv2_lwi.training.preconditions import network_class, resolve_configuration

__all__ = ["NO_PRESET", "Preset", "apply_preset", "list_presets", "load_preset"]

ORIGIN_KEY = "nnunetv2_lwi"
"""Where a plans file of ours says what it was made from."""

DATA_KEYS = (
    "spacing", "normalization_schemes", "use_mask_for_norm", "preprocessor_name", "resampling_fn_data",
    "resampling_fn_data_kwargs", "resampling_fn_seg", "resampling_fn_seg_kwargs",
)  # fmt: skip
"""What nnU-Net's preprocessed data depend on."""

PATCH_OF_NETWORK = f"{ARCH_KWARGS}.patch_size"


@dataclass(frozen=True)
class Preset:
    """What a published configuration changes in one of nnU-Net's.

    Attributes:
        name: of the file, and of the configuration.
        source: citation.
        configuration: as in a plans file.
        inherits_from: the configuration that is the parent unless the user names another.
        requires: packages beyond this one's own.
        example: channels, classes and, where the preset leaves it open, patch for which parameters are counted.
        from_plan: dotted keys that take a value from plan or data set: ``patch_size`` or ``segmentation_heads``.
        sources: for every value of the configuration, where it is from.
    """

    name: str
    title: str
    source: str
    configuration: dict[str, Any]
    inherits_from: str = "3d_fullres"
    requires: tuple[str, ...] = ()
    example: dict[str, Any] = field(default_factory=dict)
    from_plan: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def brings_network(self) -> bool:
        """Whether it becomes a configuration beside nnU-Net's; without a network it changes nnU-Net's own."""
        return "architecture" in self.configuration

    def require_packages(self) -> None:
        """Raises:
        UserError: a package is missing; says what to install.
        """
        for package in self.missing_packages():
            raise UserError(f"Preset {self.name} needs {package}: pip install 'nnunetv2_lwi[hybrids]'")

    def missing_packages(self) -> list[str]:
        """Those of ``requires`` that are not installed."""
        return [package for package in self.requires if find_spec(package) is None]


NO_PRESET = Preset(
    name="none",
    title="nnU-Net's own network, with the default settings of both steps",
    source="docs/settings.md",
    configuration={"lwi": as_json(LWISettings())},
)


def preset_names() -> list[str]:
    """The presets that come with this package."""
    files = importlib.resources.files("nnunetv2_lwi.plans").iterdir()
    return sorted(Path(file.name).stem for file in files if file.name.endswith(".json"))


def list_presets() -> list[Preset]:
    """All presets that come with this package, by name."""
    return [load_preset(name) for name in preset_names()]


def load_preset(name: str) -> Preset:
    """One of ours by its name, a user's own by the path of its JSON file, or ``none``.

    Raises:
        UserError: there is no such preset, or its file is none.
    """
    if name == NO_PRESET.name:
        return NO_PRESET
    if name.endswith(".json"):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"There is no preset file {path}.")
        return _read(path.read_text(encoding="utf-8"), str(path))
    names = preset_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UserError(f"There is no preset {name}. {hint}Presets: {', '.join(names)}, none, or a JSON file of your own.")
    text = importlib.resources.files("nnunetv2_lwi.plans").joinpath(f"{name}.json").read_text(encoding="utf-8")
    return _read(text, f"{name}.json")


def _read(text: str, where: str) -> Preset:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"Preset {where} is no JSON: {error}.") from error
    if not isinstance(content, dict) or not isinstance(content.get("configuration"), dict):
        raise UserError(f"Preset {where} must be a JSON object with an object under configuration.")
    known = {f.name for f in fields(Preset)}
    needed = {f.name for f in fields(Preset) if f.default is MISSING and f.default_factory is MISSING}
    wrong = sorted((content.keys() - known) | (needed - content.keys()))
    if wrong:
        raise UserError(f"Preset {where} has unknown keys or lacks needed ones: {', '.join(wrong)}.")
    return Preset(**content | {"requires": tuple(content.get("requires", ()))})


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
    configuration = {key: value for key, value in configuration.items() if value is not None}
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


def example_configuration(preset: Preset) -> dict[str, Any]:
    """The preset's configuration with what it leaves open taken from its example."""
    configuration = deepcopy(preset.configuration)
    example = {"patch_size": preset.example.get("patch_size", configuration.get("patch_size"))}
    values = _from_plan(preset, {**configuration, **example}, {}, preset.example["classes"])
    set_values(configuration, {}, values)
    return {**example, **configuration}


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
