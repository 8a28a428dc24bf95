"""A training that is asked to end saves where it is, in the middle of an epoch too, and goes on as if it had not ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from nnunetv2_lwi.handover.checkpoint import LWI_KEY, write_checkpoint
from nnunetv2_lwi.interruption import AskedToEnd, Interruption
from nnunetv2_lwi.training.machine.distributed import any_rank, require_same_on_all
from nnunetv2_lwi.training.resumable import ResumableTrainer

STEPS_OF_EPOCH = "steps_of_epoch"
"""What each step gave of an epoch that was cut in the middle."""
STEPS_BETWEEN_LOOKS = 10
"""At which ranks tell each other whether one of them got a signal."""


class InterruptibleTrainer(ResumableTrainer):
    """nnU-Net's trainer, which ends on SIGTERM and SIGUSR1 when it has saved."""

    interruption: Interruption | None = None
    """While it trains."""
    _within_epochs = False
    """From the first epoch on: before, there is nothing to save."""
    _signals: Any = None
    """By which ranks tell each other of signals, on the CPU."""
    _steps_of_epoch: list[dict[str, Tensor]]
    _steps_before_cut: list[dict[str, Tensor]]

    def train_until_asked_to_end(self) -> None:
        """nnU-Net's ``run_training``.

        Raises:
            AskedToEnd: it was, and is saved.
        """
        with Interruption() as self.interruption:
            try:
                super().run_training()
            except RuntimeError as error:
                # who asks this process asks its loader's workers and the other ranks as well, and may end them first
                if not (self.interruption.asked and self._within_epochs):
                    raise
                self.save_within_epoch()
                raise self.asked_to_end() from error
            if self.is_asked_to_end():
                raise self.asked_to_end()

    def on_train_start(self) -> None:
        """With a group by which ranks tell each other of signals.

        Raises:
            UserError: ranks go on from different epochs.
        """
        super().on_train_start()
        require_same_on_all("epoch to go on from", self.current_epoch)
        if self.is_ddp:
            try:
                self._signals = dist.new_group(backend="gloo")
            except RuntimeError as error:
                self.print_to_log_file(f"WARNING: a signal that asks this training to end will not be heard: {error}")

    def save_latest_if_due(self, now: bool = False) -> None:
        """At once where it was asked to end, and then end; the last epoch is left to what follows it.

        Raises:
            AskedToEnd: it was, and is saved.
        """
        self._steps_of_epoch = []  # the epoch is over, should another rank be gone when it is asked
        asked = self.is_asked_to_end()
        super().save_latest_if_due(now or asked)
        if asked and self.current_epoch < self.num_epochs:
            raise self.asked_to_end()

    def is_asked_to_end(self) -> bool:
        """Whether this rank, or another, got a signal that asks for it; all ranks have to ask at the same time."""
        asked = self.interruption is not None and self.interruption.asked
        if self.is_ddp and self._signals is None:
            return False  # one rank alone must not end
        return any_rank(asked, self._signals) if self._signals is not None else asked

    def asked_to_end(self) -> AskedToEnd:
        """What ends the training when it is saved."""
        message = f"The training in {self.output_folder} was asked to end and is saved. The same command goes on (--c)."
        error = AskedToEnd(message)
        return error.told() if self.local_rank == 0 else error

    def end_if_asked(self) -> None:
        """Between two steps: save where the training is within its epoch, and end.

        Raises:
            AskedToEnd: it was asked to.
        """
        turn = self._signals is None or len(self._steps_of_epoch) % STEPS_BETWEEN_LOOKS == 0
        if turn and self.is_asked_to_end():
            self.save_within_epoch()
            raise self.asked_to_end()

    def save_within_epoch(self) -> None:
        """Write ``checkpoint_latest`` in the middle of an epoch, from where a training goes on with its next step."""
        if self.local_rank != 0 or self.disable_checkpointing:
            return
        self.current_epoch -= 1
        content = self.checkpoint(finished=False)
        self.current_epoch += 1
        logged = content["logging"]
        content["logging"] = {k: v[: self.current_epoch] if isinstance(v, list) else v for k, v in logged.items()}
        steps = [{name: float(value) for name, value in step.items()} for step in self._steps_of_epoch]
        content[LWI_KEY][STEPS_OF_EPOCH] = steps
        write_checkpoint(content, Path(self.output_folder) / "checkpoint_latest.pth")

    def on_train_epoch_start(self) -> None:
        """nnU-Net's; of an epoch that was cut only what is left is trained."""
        self._within_epochs = True
        super().on_train_epoch_start()
        self._steps_of_epoch = list(self._steps_before_cut)
        self.num_iterations_per_epoch -= len(self._steps_before_cut)

    def take_steps_before_cut(self) -> list[dict[str, Tensor]]:
        """What the steps gave that an epoch had made before it was cut; the next epoch is a whole one again."""
        steps, self._steps_before_cut = self._steps_before_cut, []
        self.num_iterations_per_epoch += len(steps)
        return steps

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        super()._restore(checkpoint)
        for step in checkpoint[LWI_KEY].get(STEPS_OF_EPOCH, []):
            self._steps_before_cut.append({name: torch.tensor(value, device=self.device) for name, value in step.items()})
