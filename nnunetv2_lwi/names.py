"""Names that users type and that stand in checkpoints and folders."""

from __future__ import annotations

from pathlib import Path

STEP1_TRAINER = "nnUNetTrainerLWIInit"
STEP2_TRAINER = "nnUNetTrainerLWISeg"


def output_folder(trainer: str, dataset_name: str, plans_name: str, configuration: str, fold: int | str) -> Path:
    """Where nnU-Net lets a trainer write."""
    from nnunetv2.paths import nnUNet_results

    return Path(str(nnUNet_results)) / dataset_name / f"{trainer}__{plans_name}__{configuration}" / f"fold_{fold}"
