"""What nnU-Net's final validations wrote, found by the names that its commands take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_lwi.errors import UserError

SUMMARY = Path("validation") / "summary.json"
FOLD = re.compile(r"fold_(\d+|all)")


def find_validations(
    results: Path, trainer: str, configuration: str, plans: str | None = None, folds: Sequence[int | str] | None = None
) -> list[Path]:
    """Every ``summary.json`` of a data set's trainings, plans by plans and fold by fold.

    Args:
        results: the data set's folder in nnUNet_results.
        plans: None for any.
        folds: None for any.

    Raises:
        UserError: there is none, or a fold that is asked for has none in any plans.
    """
    models = sorted(results.glob(f"{trainer}__{plans or '*'}__{configuration}"))
    found = [path for model in models for path in _of_model(model, folds)]
    seen = {path.parents[1].name for path in found}
    lacking = [str(fold) for fold in folds or () if f"fold_{fold}" not in seen]
    if lacking or not found:
        which = f"fold {', '.join(lacking)} of {trainer}" if lacking else trainer
        of_plans = "" if plans is None else f", plans {plans}"
        raise UserError(
            f"No validation of {which} with configuration {configuration}{of_plans} is finished in {results}: train, or "
            "name SUMMARY_JSON files, or another model with -tr, -c, -p and -f."
        )
    return found


def _of_model(model: Path, folds: Sequence[int | str] | None) -> list[Path]:
    there = [match[1] for path in model.iterdir() if (match := FOLD.fullmatch(path.name))]
    in_order = sorted(there, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0))
    paths = [model / f"fold_{fold}" / SUMMARY for fold in (in_order if folds is None else folds)]
    return [path for path in paths if path.is_file()]
