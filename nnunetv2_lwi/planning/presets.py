"""Presets: published configurations as JSON files. To list them nothing else is read."""

from __future__ import annotations

import difflib
import importlib.resources
import json
from dataclasses import MISSING, dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.settings import open_block


@dataclass(frozen=True)
class Preset:
    """What a published configuration changes in one of nnU-Net's.

    Attributes:
        name: of the file, and of the configuration.
        source: citation.
        configuration: as in a plans file.
        inherits_from: the configuration that is the parent unless the user names another.
        requires: packages beyond this one's own.
        example: channels, classes and, where the preset leaves it open, patch of the published network, for tests.
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
    title="nnU-Net's own network, with the measured recipe for step 1",
    source="docs/reference/settings.md",
    configuration={"lwi": open_block()},
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
