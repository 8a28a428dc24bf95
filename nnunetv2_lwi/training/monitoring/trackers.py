"""Pictures for the experiment trackers that nnU-Net's logger writes to; curves and summaries it hands on itself.

nnU-Net 2.8.1 knows Weights & Biases (``nnUNet_wandb_enabled=1``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def hand_on_picture(logger: Any, name: str, path: Path, epoch: int) -> str | None:
    """Log a picture wherever nnU-Net's logger logs besides its own file.

    Args:
        logger: nnU-Net's ``MetaLogger``.

    Returns:
        Why that failed, if it did: a picture less is no reason to end a training.
    """
    if not logger.loggers:
        return None
    try:
        import wandb

        for tracker in logger.loggers:
            tracker.log(name, wandb.Image(str(path)), epoch)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
