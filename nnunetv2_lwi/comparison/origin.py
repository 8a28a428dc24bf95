"""Where a training ran: on which devices and with which versions. One that was cut may be resumed elsewhere."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from nnunetv2_lwi.comparison.workplace import Workplace
from nnunetv2_lwi.disk import write_json
from nnunetv2_lwi.handover.provenance import read_versions


def note_origin(place: Workplace, device: str) -> None:
    """To be called whenever the training is started or resumed."""
    here = {"device": device_name(device), "versions": read_versions()}
    noted = read_origins(place)
    if here not in noted:
        write_json(place.origins, [*noted, here])


def read_origins(place: Workplace) -> list[dict[str, Any]]:
    """Each with its ``device`` and, by package, ``versions``."""
    return list(json.loads(place.origins.read_text(encoding="utf-8"))) if place.origins.is_file() else []


def by_name(origins: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The different values of ``device`` and of each package's ``version.PACKAGE``, in the order of the origins."""
    values: dict[str, dict[str, None]] = {}
    for origin in origins:
        versions = {f"version.{package}": number for package, number in origin["versions"].items()}
        for name, value in {"device": origin["device"], **versions}.items():
            values.setdefault(name, {})[value] = None
    return {name: list(different) for name, different in values.items()}


def device_name(device: str) -> str:
    """The GPU's, or what the machine says of its processor."""
    return torch.cuda.get_device_name() if device == "cuda" else f"{device} ({platform.processor() or platform.machine()})"
