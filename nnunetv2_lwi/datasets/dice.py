"""The Dice of each label in nnU-Net's ``summary.json``, by the name that dataset.json gives the label, and tables of them.

nnU-Net's Dice is NaN in a case whose reference and prediction both lack the label, and its mean over cases leaves those out;
where no case is left it is NaN. The average over labels leaves such labels out here, and a note below the table tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from nnunetv2.evaluation.evaluate_predictions import key_to_label_or_region

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.markdown import table

Labels = Mapping[str, int | str | list[int]]
"""As in dataset.json: a label or, for region-based training, a list of them, by name."""


def dice_by_name(summary: Mapping[str, Any], labels: Labels) -> dict[str, float]:
    """The mean Dice of each class in nnU-Net's summary, from 0 to 1, by the name that dataset.json gives it."""
    return {name: summary["mean"][key]["Dice"] for name, key in keys_by_name(summary, labels).items()}


def keys_by_name(summary: Mapping[str, Any], labels: Labels) -> dict[str, str]:
    """The key of each class in nnU-Net's summary, by name; one that dataset.json does not know keeps its key."""
    names = {_values(label): name for name, label in labels.items()}
    return {names.get(_values(key_to_label_or_region(key)), key): key for key in summary["mean"]}


def _values(label: int | str | Sequence[int | str]) -> tuple[int, ...]:
    """nnU-Net also takes numbers that dataset.json has as text."""
    return (int(label),) if isinstance(label, (int, str)) else tuple(map(int, label))


@dataclass(frozen=True)
class Row:
    """What one ``summary.json`` says.

    Attributes:
        title: the first cell.
        dice: from 0 to 1 by label, NaN where no case has one.
        cases: how many cases have a Dice, by label.
        total: how many cases there are.
    """

    title: str
    dice: dict[str, float]
    cases: dict[str, int]
    total: int

    @property
    def average(self) -> float:
        """Over the labels that have a Dice; NaN if none has."""
        values = [value for value in self.dice.values() if not math.isnan(value)]
        return fmean(values) if values else math.nan


def make_row(path: Path, summary: Mapping[str, Any], labels: Labels, selected: Sequence[str]) -> Row:
    """The row of one file.

    Args:
        path: where the summary was read.
        selected: names of labels, in the order of the columns.

    Raises:
        UserError: it is not nnU-Net's summary, or not of a data set with these labels.
    """
    try:
        keys, dice = keys_by_name(summary, labels), dice_by_name(summary, labels)
        cases = [case["metrics"] for case in summary["metric_per_case"]]
        counts = {name: sum(not math.isnan(case[key]["Dice"]) for case in cases) for name, key in keys.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is not the summary.json of nnU-Net's evaluation ({error!r}): give the one of step 2's validation, or "
            "of nnUNetv2_evaluate_folder."
        ) from error
    wrong = sorted((set(selected) - dice.keys()) | (dice.keys() - labels.keys()))
    if wrong:
        raise UserError(
            f"{path} and dataset.json do not both have {', '.join(wrong)}: name the data set of that file with -d."
        )
    return Row(
        title=title_of(path),
        dice={name: dice[name] for name in selected},
        cases={name: counts[name] for name in selected},
        total=len(cases),
    )


def title_of(path: Path) -> str:
    """Model and fold for the validation of a training; else the folder, as given."""
    folder = path.resolve().parent
    if folder.name == "validation" and folder.parent.name.startswith("fold_"):
        return f"{folder.parents[1].name} {folder.parent.name}"
    return str(path.parent)


def markdown_table(rows: Sequence[Row]) -> str:
    """Dice in percent, one column a label and one for their average; a row per file, all with the same labels."""
    body = [[row.title, *map(percent, row.dice.values()), percent(row.average)] for row in rows]
    return table([["Dice in %", *rows[0].dice, "average"], *body])


def percent(dice: float) -> str:
    """0.8722 becomes 87.22, NaN n/a."""
    return "n/a" if math.isnan(dice) else f"{100 * dice:.2f}"


def notes(rows: Sequence[Row]) -> list[str]:
    """One line per row in which a label has no Dice in some cases."""
    lines = []
    for row in rows:
        fewer = [f"{name} in {count} of {row.total}" for name, count in row.cases.items() if count < row.total]
        if fewer:
            lines.append(
                f"{row.title}, cases with the label in reference or prediction: {', '.join(fewer)}; means are over these."
            )
    return lines
