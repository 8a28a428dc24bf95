"""Both trainers, where nnU-Net looks for them by name."""

from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg

__all__ = ["nnUNetTrainerLWIInit", "nnUNetTrainerLWISeg"]
