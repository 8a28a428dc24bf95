"""How trainings stand: read from names and small files, of folders that others may write to meanwhile; nothing is locked.

A checkpoint is not opened. Trainings of earlier versions have no ``lwi_progress.json``, and their epoch is not known.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from math import isnan
from pathlib import Path
from typing import Any

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.digest import changed_step2, differing_keys
from nnunetv2_lwi.handover.standing import FILE
from nnunetv2_lwi.names import FINAL, IN_ORDER_OF_RESUMING, STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.nnunet.inheritance import resolve
from nnunetv2_lwi.one_writer import OWNER, WRITER, is_dead
from nnunetv2_lwi.planning.settings import LWISettings

NONE, BEGUN, RUNNING, CUT, FINISHED = "none", "begun", "running", "cut", "finished"
STEPS = {STEP1_TRAINER: 1, STEP2_TRAINER: 2}
MODEL = re.compile(rf"({STEP1_TRAINER}|{STEP2_TRAINER})__(.+?)__(.+)")
DICE = re.compile(r'"foreground_mean": \{[^}]*?"Dice": ([\d.eE+-]+|NaN)', re.DOTALL)
BYTES_TO_DICE = 4096
"""nnU-Net sorts the keys of summary.json: the mean of the foreground comes first, the cases last."""
EPOCHS_OF_SILENCE, SECONDS_OF_SILENCE = 3, 900
"""After which a writer on another machine is taken for dead."""


@dataclass(frozen=True)
class Standing:
    """One step of one fold."""

    dataset: str
    plans: str
    configuration: str
    fold: str
    step: int
    state: str
    epoch: int | None = None
    """How many have ended."""
    epochs: int | None = None
    ends: str | None = None
    """When it is expected to."""
    by: str | None = None
    """Who trains it, or did last."""
    dice: float | None = None
    """Of the final validation, mean over the foreground."""
    stale: str | None = None
    """In what the plan differs from what was trained."""


def standings(results: Path, preprocessed: Path, datasets: Iterable[str] | None = None) -> Iterator[Standing]:
    """Both steps of every fold of every model that was begun.

    Args:
        datasets: DatasetXXX_Name; of these also plans with an ``lwi`` block of which nothing was begun. All that have
            results, if None.
    """
    names = datasets if datasets is not None else sorted(path.name for path in _folders(results))
    for name in names:
        models = sorted({(match[2], match[3]) for path in _folders(results / name) if (match := _model(path))})
        if datasets is not None:
            models = sorted({*models, *_planned(preprocessed / name)})
        for plans, configuration in models:
            changes = _changes(preprocessed / name, plans, configuration)
            folders = {trainer: results / name / f"{trainer}__{plans}__{configuration}" for trainer in STEPS}
            for fold in _folds(folders.values(), preprocessed / name):
                for trainer, step in STEPS.items():
                    figures = _look(folders[trainer] / f"fold_{fold}", step, changes)
                    yield Standing(name, plans, configuration, fold, step, **figures)


def _look(folder: Path, step: int, changes: Callable[[int, Mapping[str, Any]], str | None]) -> dict[str, Any]:
    """What a fold's folder tells of a step."""
    if not folder.is_dir():
        return {"state": NONE}
    there = {entry.name for entry in os.scandir(folder)}
    noted = read_object(folder / FILE) if FILE in there else {}
    figures = {"epoch": noted.get("epoch"), "epochs": noted.get("epochs")}
    writer = _read(folder / OWNER) if OWNER in there else None
    if writer is not None and _is_alive(writer, folder, noted):
        return {"state": RUNNING, **figures, "by": writer, "ends": _expected_end(folder, noted)}
    figures["stale"] = changes(step, noted) if noted else None
    if FINAL in there:
        return {"state": FINISHED, **figures, "dice": validation_dice(folder) if step == 2 else None}
    return {"state": CUT if there & set(IN_ORDER_OF_RESUMING) else BEGUN, **figures, "by": writer}


def _model(path: Path) -> re.Match[str] | None:
    return MODEL.fullmatch(path.name)


def _folders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()] if folder.is_dir() else []


def _planned(folder: Path) -> Iterator[tuple[str, str]]:
    """Plans and configurations that have an ``lwi`` block."""
    for path in folder.glob("*.json"):
        plans = read_object(path)
        configurations = plans.get("configurations", {})
        for name in configurations:
            if "lwi" in resolve(plans, name):
                yield str(plans.get("plans_name")), name


def _folds(models: Iterable[Path], preprocessed: Path) -> list[str]:
    """Those that were begun, and those of the split; "all" only where it was begun."""
    names = [path.name for model in models for path in _folders(model)]
    begun = {name.removeprefix("fold_") for name in names if name.startswith("fold_")}
    if begun != {"all"}:
        begun |= {str(number) for number in range(_splits(preprocessed / "splits_final.json"))}
    return sorted(begun, key=lambda fold: (not fold.isdecimal(), int(fold) if fold.isdecimal() else 0))


@cache
def _splits(path: Path) -> int:
    content = _read_json(path)
    return len(content) if isinstance(content, list) else 0


def _is_alive(writer: str, folder: Path, noted: Mapping[str, Any]) -> bool:
    """Whether who says that it writes there still does; on another machine, whether it wrote lately."""
    match = WRITER.fullmatch(writer.strip())
    if match is None:
        return False
    if match[2] == socket.gethostname():
        return not is_dead(writer)
    silence = max(SECONDS_OF_SILENCE, EPOCHS_OF_SILENCE * (noted.get("seconds_an_epoch") or 0))
    return time.time() - _changed_at(folder) < silence


def _changed_at(folder: Path) -> float:
    return max((path.stat().st_mtime for path in (folder / FILE, folder / OWNER) if path.is_file()), default=0.0)


def _expected_end(folder: Path, noted: Mapping[str, Any]) -> str | None:
    seconds, epoch, epochs = (noted.get(key) for key in ("seconds_an_epoch", "epoch", "epochs"))
    if not seconds or epoch is None or epochs is None:
        return None
    end = datetime.fromtimestamp((folder / FILE).stat().st_mtime + seconds * (epochs - epoch))
    return f"{end:%Y-%m-%d %H:%M}"


def validation_dice(folder: Path) -> float | None:
    """Of a fold's final validation: nnU-Net's mean over foreground classes, 0 to 1; None where there is none yet."""
    with_dice = _read(folder / "validation" / "summary.json", BYTES_TO_DICE)
    found = DICE.search(with_dice or "")
    dice = float(found[1]) if found else None
    return None if dice is None or isnan(dice) else dice


def _changes(preprocessed: Path, plans_name: str, configuration: str) -> Callable[[int, Mapping[str, Any]], str | None]:
    """What tells in which settings a step was trained otherwise than its plan now says."""
    plans = read_object(preprocessed / f"{plans_name}.json")
    resolved = resolve(plans, configuration) if configuration in plans.get("configurations", {}) else None
    if resolved is None:
        return lambda step, noted: "its plan is not there any more"
    try:
        settings = LWISettings.from_configuration(resolved)
    except UserError as error:
        reason = error.reason
        return lambda step, noted: reason
    here = {key: resolved.get(key) for key in ("architecture", "patch_size", "spacing")} | {"lwi": settings.step1()}

    def changes(step: int, noted: Mapping[str, Any]) -> str | None:
        if not isinstance(noted.get("digest"), dict):
            return None
        there = {key: value for key, value in noted["digest"].items() if key != "image_channels"}
        state = {**noted, "digest": there}
        found = differing_keys(there, here) if step == 1 else changed_step2(state, here, settings)
        return "; ".join(found) or None

    return changes


def _read(path: Path, most: int = -1) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(most)
    except OSError:
        return None


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none, or it is being written."""
    content = _read_json(path)
    return content if isinstance(content, dict) else {}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read(path) or "{}")
    except ValueError:
        return {}
