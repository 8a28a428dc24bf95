"""Whether nnU-Net can make a fold's training and validation cases: it stops with a traceback where there are too few."""

from __future__ import annotations

import json
from pathlib import Path

from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

from nnunetv2_lwi.errors import UserError

FOLDS = 5
"""As many as nnU-Net makes where there is no split file."""


def require_fold(dataset_folder: Path, data_identifier: str, fold: int | str) -> None:
    """Check that the preprocessed cases are enough for the fold.

    Args:
        dataset_folder: the data set in nnUNet_preprocessed.
        data_identifier: the folder in it with the preprocessed cases.
        fold: 0, 1, ... or "all".

    Raises:
        UserError: the cases cannot be told, or are too few for the split that nnU-Net would make.
    """
    folder = dataset_folder / data_identifier
    cases = _count_cases(folder)
    if isinstance(fold, str):
        return
    split_file = dataset_folder / "splits_final.json"
    if not split_file.is_file():
        enough, reason = cases >= FOLDS, f"fewer than the {FOLDS} folds that nnU-Net makes"
    else:
        enough = cases > 1 or fold < len(json.loads(split_file.read_text(encoding="utf-8")))
        reason = f"and {split_file} has no fold {fold}, for which nnU-Net would draw 80 % of the cases"
    if not enough:
        raise UserError(
            f"The data set has {cases} preprocessed case{'s' * (cases > 1)}, {reason}: train with fold all, or write your "
            f'own folds to {split_file}: [{{"train": [CASE, ...], "val": [CASE, ...]}}, ...].'
        )


def _count_cases(folder: Path) -> int:
    try:
        cases = infer_dataset_class(str(folder)).get_identifiers(str(folder))
    except (AssertionError, KeyError) as error:
        raise UserError(
            f"{folder} must hold preprocessed cases of one format and nothing else, as nnU-Net tells the format by the "
            "files' endings: remove what nnUNetv2_preprocess did not write, or run it again."
        ) from error
    return len(cases)
