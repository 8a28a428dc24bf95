"""What happens when nnU-Net looks a trainer up by its name."""

from __future__ import annotations

from nnunetv2_lwi.names import STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from nnunetv2_lwi.training.stock_command import require_readable_target

TRAINERS: dict[str, type] = {STEP1_TRAINER: nnUNetTrainerLWIInit, STEP2_TRAINER: nnUNetTrainerLWISeg}


def look_up(name: str) -> type:
    """The trainer of that name, for ``nnUNetv2_train`` only if its data set and plans can be read.

    Raises:
        AttributeError: there is no such trainer here.
        UserError: ``nnUNetv2_train`` would end in a traceback.
    """
    if name not in TRAINERS:
        raise AttributeError(name)
    require_readable_target()
    return TRAINERS[name]
