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
        UserError: there are no cases, or too few for the split that nnU-Net would make.
    """
    folder = dataset_folder / data_identifier
    cases = infer_dataset_class(str(folder)).get_identifiers(str(folder))
    if not cases:
        raise UserError(f"There are no preprocessed cases in {folder}: run nnUNetv2_preprocess.")
    if isinstance(fold, str):
        return
    split_file = dataset_folder / "splits_final.json"
    if split_file.is_file():
        splits = len(json.loads(split_file.read_text(encoding="utf-8")))
        if fold < splits or len(cases) > 1:
            return
        reason = f"and {split_file} has no fold {fold}, so that nnU-Net would draw 80 % of the cases for training"
    elif len(cases) < FOLDS:
        reason = f"fewer than the {FOLDS} folds that nnU-Net makes"
    else:
        return
    example = json.dumps([{"train": cases[:1], "val": cases[-1:]}])
    raise UserError(
        f"The data set has {len(cases)} preprocessed case{'s' * (len(cases) > 1)}, {reason}: train with fold all, or write "
        f"your own split to {split_file}, for fold 0 say {example}."
    )
