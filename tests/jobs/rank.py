"""What a launcher starts in the tests: ``nnUNetv2_lwi``, which besides keeps what the tests look at, rank by rank.

``RANKS_FOLDER`` is where; ``DIES`` names a step, an epoch and a rank that is killed there, once, and ``ASKS`` one that has
the launcher asked to end, as a scheduler does.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.training import resumable
from nnunetv2_lwi.training.base import LWITrainer
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg

FOLDER = Path(os.environ["RANKS_FOLDER"])
resumable.SECONDS_BETWEEN_CHECKPOINTS = 0.0
run_training, on_epoch_start, train_step = LWITrainer.run_training, LWITrainer.on_epoch_start, LWITrainer.train_step
STEPS_BEFORE = 5
"""Of an epoch, before the launcher is asked to end."""


def and_keep_weights(trainer: Any) -> None:
    run_training(trainer)
    kept = {"weights": trainer.unwrapped_network.state_dict(), "losses": trainer.logger.get_value("train_losses", None)}
    torch.save(kept | {"resumed": trainer.resumed_from is not None}, FOLDER / f"{trainer.step}_{dist.get_rank()}.pth")


def or_die(trainer: Any) -> None:
    step, epoch, rank = os.environ.get("DIES", "none,0,0").split(",")
    marker = FOLDER / "died"
    if (trainer.step, trainer.current_epoch, dist.get_rank()) == (step, int(epoch), int(rank)) and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    on_epoch_start(trainer)


def have_the_launcher_asked_to_end(trainer: Any, batch: dict[str, Any]) -> Any:
    step, epoch, rank = os.environ.get("ASKS", "none,0,0").split(",")
    here = (trainer.step, trainer.current_epoch, dist.get_rank()) == (step, int(epoch), int(rank))
    if here and len(trainer._steps_of_epoch) == STEPS_BEFORE:
        os.kill(os.getppid(), signal.SIGTERM)
    return train_step(trainer, batch)


LWITrainer.run_training = and_keep_weights  # type: ignore[method-assign]
LWITrainer.train_step = have_the_launcher_asked_to_end  # type: ignore[method-assign]
LWITrainer.on_epoch_start = or_die  # type: ignore[method-assign]


def leave_validation_out(trainer: Any, save_probabilities: bool = False) -> None:
    """The tiny data set has no labels in files; nnU-Net's own validation is in the end-to-end test."""
    if dist.get_rank() == 0:
        folder = Path(trainer.output_folder) / "validation"
        folder.mkdir()
        (folder / "summary.json").write_text("{}")
    dist.barrier()


nnUNetTrainerLWISeg.perform_actual_validation = leave_validation_out  # type: ignore[method-assign]
torch.set_num_threads(1)
main(sys.argv[1:])
