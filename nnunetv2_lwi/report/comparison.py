"""What a comparison's folder holds: its tables as they were written, a row a run, and how its trainings stand."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2_lwi.jobs.status import FINISHED, MODEL, Standing, read_object, standings
from nnunetv2_lwi.report.run import mapping

Table = list[list[str]]
SCORE = re.compile(r"(test|validation)_(plain|mirrored)_Dice_average")
KEY = re.compile(r"step([12])_(\w+)")


@dataclass
class Part:
    """A heading of comparison.md with what stands below it.

    Attributes:
        blocks: paragraphs, and tables as rows of cells.
    """

    title: str
    blocks: list[str | Table] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingState:
    """One of the comparison's trainings."""

    name: str
    step: int
    state: str
    standing: Standing | None
    result: dict[str, Any]
    configuration: dict[str, Any]
    train_cases: int | None


def read_parts(text: str) -> list[Part]:
    """The parts of comparison.md; a table whose rows have other numbers of cells than its head is left as text.

    That happens where a name holds what separates cells.
    """
    parts: list[Part] = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        while lines and lines[0].startswith("#"):
            parts.append(Part(lines.pop(0).lstrip("#").strip()))
        if lines and parts:
            parts[-1].blocks.append(_as_table(lines) or "\n".join(lines))
    return parts


def _as_table(lines: Sequence[str]) -> Table | None:
    if len(lines) < 3 or not all(line.startswith("| ") for line in (lines[0], *lines[2:])):
        return None
    rows = [line[2:-2].split(" | ") for line in (lines[0], *lines[2:])]
    return [[cell.strip() for cell in row] for row in rows] if len({len(row) for row in rows}) == 1 else None


def read_text(path: Path) -> str:
    """Of a file; nothing where there is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def read_runs(folder: Path) -> list[dict[str, str]]:
    """The rows of comparison.csv, one a run."""
    return list(csv.DictReader(io.StringIO(read_text(folder / "comparison.csv"), newline="")))


def score_column(runs: Sequence[dict[str, str]]) -> str | None:
    """The column with the Dice that matters most: of the test, and without mirroring, where there is one."""
    return next((column for column in (runs[0] if runs else ()) if SCORE.fullmatch(column)), None)


def read_trainings(folder: Path) -> Iterator[TrainingState]:
    """All that were begun, step 1 first."""
    for path in sorted((folder / "trainings").iterdir()):
        match = KEY.fullmatch(path.name)
        if match is not None and path.is_dir():
            yield _read_training(path, int(match[1]))


def _read_training(path: Path, step: int) -> TrainingState:
    result = dict(read_object(path / "result.json"))
    found = [one for one in standings(path / "nnUNet_results", path / "nnUNet_preprocessed") if one.step == step]
    standing = next((one for one in found if one.fold == "0"), None)
    state = FINISHED if result else standing.state if standing is not None else "begun"
    if state == FINISHED and not result:
        state = "to be scored"
    split, configuration = _split_and_configuration(path, standing)
    return TrainingState(path.name, step, state, standing, result, configuration, split)


def _split_and_configuration(path: Path, standing: Standing | None) -> tuple[int | None, dict[str, Any]]:
    """How many cases it trains on, and its configuration."""
    if standing is None:
        return None, {}
    dataset = path / "nnUNet_preprocessed" / standing.dataset
    plans = read_object(dataset / f"{standing.plans}.json")
    configuration = mapping(mapping(plans.get("configurations")).get(standing.configuration))
    try:
        number = len(json.loads(read_text(dataset / "splits_final.json"))[0]["train"])
    except (ValueError, LookupError, TypeError):
        number = None
    return number, dict(configuration)


def name_of(folder: Path) -> str:
    """Data set, configuration and plans, by the folders of its trainings; its own name where there are none."""
    for model in sorted((folder / "trainings").glob("*/nnUNet_results/*/*")):
        if match := MODEL.fullmatch(model.name):
            return f"{model.parent.name}: {match[3]}, {match[2]}"
    return folder.absolute().name
