"""What nnU-Net's final validations wrote, found by the names that its commands take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunetv2_lwi.errors import UserError

SUMMARY = Path("validation") / "summary.json"


def find_validations(
    results: Path, trainer: str, configuration: str, plans: str | None = None, folds: Sequence[int | str] | None = None
) -> list[Path]:
    """Every ``summary.json`` of a data set's trainings, plans by plans and fold by fold.

    Args:
        results: the data set's folder in nnUNet_results.
        plans: None for any.
        folds: None for any.

    Raises:
        UserError: there is none.
    """
    models = sorted(results.glob(f"{trainer}__{plans or '*'}__{configuration}"))
    wanted = ["*"] if folds is None else map(str, folds)
    names = [f"fold_{fold}" for fold in wanted]
    found = [path for model in models for name in names for path in sorted(model.glob(f"{name}/{SUMMARY}"))]
    if not found:
        raise UserError(
            f"No validation of {trainer} with configuration {configuration} is finished in {results}: train, or name "
            "SUMMARY_JSON files, or another model with -tr, -c, -p and -f."
        )
    return found
