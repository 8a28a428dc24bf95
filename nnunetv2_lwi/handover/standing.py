"""How a training stands, in a small file beside its checkpoints, which are too large to be opened for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from nnunetv2_lwi.disk import write_json
from nnunetv2_lwi.handover.plain import plain

FILE = "lwi_progress.json"
EPOCHS_TIMED = 5
"""The last ones, by whose time the end is expected."""


def write_standing(folder: Path, epoch: int, epochs: int, logging: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write the file, whole.

    Args:
        epoch: how many have ended.
        logging: of nnU-Net's logger, with the times at which epochs started and ended.
        state: ``digest``, ``start`` and, of a step 2, ``step2``, as a checkpoint has them.
    """
    starts, ends = (logging.get(f"epoch_{what}_timestamps", []) for what in ("start", "end"))
    times = [end - start for start, end in zip(starts, ends, strict=False)][-EPOCHS_TIMED:]
    seconds = fmean(times) if times else None
    write_json(folder / FILE, plain({"epoch": epoch, "epochs": epochs, "seconds_an_epoch": seconds, **state}))
