"""Checkpoints that survive a kill, and going on from them."""

from __future__ import annotations

import os
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from nnunetv2_lwi.disk import remove_partial
from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.handover.checkpoint import (
    FORMAT,
    LWI_KEY,
    lacking_keys,
    read_checkpoint,
    require_format,
    write_checkpoint,
)
from nnunetv2_lwi.handover.digest import Digest, differing_keys
from nnunetv2_lwi.handover.record import UNLABELLED, Record, differences, only_scans_are_new
from nnunetv2_lwi.handover.standing import write_standing
from nnunetv2_lwi.handover.transfer import misfits
from nnunetv2_lwi.names import FINAL, STEP1_TRAINER
from nnunetv2_lwi.nnunet.private import without_compilation
from nnunetv2_lwi.one_writer import LOCK, OneWriter
from nnunetv2_lwi.planning.recipes import way_back
from nnunetv2_lwi.training.machine.randomness import get_random_state, seed_all, seed_for_going_on, set_random_state
from nnunetv2_lwi.training.optimization import optimizer_of

KEYS_OF_A_CHECKPOINT = {
    "network_weights", "optimizer_state", "grad_scaler_state", "logging", "_best_ema", "current_epoch",
    "inference_allowed_mirroring_axes",
}  # fmt: skip

WANDB = "wandb"
"""The folder that Weights & Biases makes in the output folder."""

SECONDS_BETWEEN_CHECKPOINTS = 600.0
"""``checkpoint_latest`` is written every epoch or this often, whichever is rarer."""


class ResumableTrainer(nnUNetTrainer):
    """nnU-Net's trainer, whose checkpoints are whole at any moment, hold plain values only, and say what they are of."""

    blocks: ClassVar[dict[str, tuple[str, ...]]] = {"digest": (), "start": ("kind",), "random_state": ()}
    """What is ours in a checkpoint that a training can go on from, and what must stand in it."""
    digest: Digest
    seed: int | None
    made_folders: Sequence[Path] = ()
    """Of the output folder and those above it what this run made, the innermost first."""
    start: dict[str, Any]
    """What the training started from."""
    resumed_from: str | None = None
    _record: Record | None = None
    _writer: OneWriter | None = None
    _resume_random_state: dict[str, Any] | None = None
    _last_checkpoint_at: float

    @property
    def unwrapped_network(self) -> nn.Module:
        """The network without DistributedDataParallel and torch.compile."""
        return without_compilation(self.network.module if self.is_ddp else self.network)

    def on_train_start(self) -> None:
        """nnU-Net's start of a training; a resumed one then goes on with the random states it stopped with.

        Raises:
            UserError: data or split cannot be used; nothing is left behind.
        """
        try:
            self._be_the_only_writer()
            super().on_train_start()
        except UserError:
            self.discard_output()
            raise
        if self._resume_random_state is not None:
            self.restore_random_state(self._resume_random_state)
            self._resume_random_state = None
        self._last_checkpoint_at = monotonic()
        self.note_standing()

    def _be_the_only_writer(self) -> None:
        if self.local_rank != 0:
            return
        if not self.writer.acquire():
            self.print_to_log_file("This file system has no locks: take care that no other job trains in this folder.")
        remove_partial(self.output_folder, "checkpoint_*.pth")

    @property
    def writer(self) -> OneWriter:
        """The right to write to the output folder."""
        if self._writer is None:
            self._writer = OneWriter(Path(self.output_folder))
        return self._writer

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The right to write for a while, also beside the training that has it.

        Raises:
            UserError: another process has it.
        """
        if self.local_rank != 0:
            yield
            return
        had = self.writer.held
        self.writer.acquire()
        try:
            yield
        finally:
            if not had:
                self.writer.release()

    def save_latest_if_due(self, now: bool = False) -> None:
        """Write ``checkpoint_latest`` if it is time, or now; the last thing of an epoch, after ``current_epoch`` went on.

        It comes after ``checkpoint_best``: the other way round, a run killed between the two would go on after an epoch
        whose weights, the best so far, are in no file.
        """
        self.note_standing()
        due = now or monotonic() - self._last_checkpoint_at >= SECONDS_BETWEEN_CHECKPOINTS
        if self.current_epoch == self.num_epochs or not due:
            return
        self.current_epoch -= 1  # save_checkpoint, as nnU-Net's, expects the epoch that ended
        self.save_checkpoint(str(Path(self.output_folder) / "checkpoint_latest.pth"))
        self.current_epoch += 1
        self._last_checkpoint_at = monotonic()

    def note_standing(self) -> None:
        """Write how far the training is, for ``nnUNetv2_lwi status``; a disk that does not take it stops nothing."""
        if self.local_rank == 0:
            with suppress(OSError):
                folder, logging = Path(self.output_folder), self.logger.get_checkpoint()
                write_standing(folder, self.current_epoch, self.num_epochs, logging, self.standing())

    def standing(self) -> dict[str, Any]:
        """What tells a training of other settings."""
        return {"digest": self.digest, "start": self.start}

    def save_checkpoint(self, filename: str) -> None:
        """Write a checkpoint: nnU-Net's keys, and ours under ``lwi``; plain values and CPU tensors only."""
        if self.local_rank != 0:
            return
        if self.disable_checkpointing:
            self.print_to_log_file("No checkpoint written, checkpointing is disabled")
            return
        write_checkpoint(self.checkpoint(finished=Path(filename).name == FINAL), filename)

    def checkpoint(self, finished: bool) -> dict[str, Any]:
        """What is written.

        Args:
            finished: whether the training is, so that this is ``checkpoint_final``.
        """
        return {
            "network_weights": dict(self.unwrapped_network.state_dict()),
            "optimizer_state": self.optimizer.state_dict(),
            "grad_scaler_state": None if self.grad_scaler is None else self.grad_scaler.state_dict(),
            "logging": self.logger.get_checkpoint(),
            "_best_ema": self._best_ema,
            "current_epoch": self.current_epoch + 1,
            "init_args": self.my_init_kwargs,
            "trainer_name": self.__class__.__name__,
            "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
            LWI_KEY: self.lwi_state() | {"random_state": self.random_state()},
        }

    def lwi_state(self) -> dict[str, Any]:
        """What is ours in a checkpoint."""
        return {"format": FORMAT, "digest": self.digest, "start": self.start, "run": self.record()}

    def random_state(self) -> dict[str, Any]:
        """Every generator that the training draws from."""
        return get_random_state()

    def set_random_state(self, state: dict[str, Any]) -> None:
        """Undo what was drawn since :meth:`random_state`."""
        set_random_state(state)

    def restore_random_state(self, state: dict[str, Any]) -> None:
        """Go on drawing where the checkpoint was written; ranks but the first, whose states were not saved, reseed."""
        if self.local_rank == 0:
            self.set_random_state(state)
        elif self.seed is not None:
            seed_all(seed_for_going_on(self.seed, self.current_epoch))

    def load_checkpoint(self, filename_or_checkpoint: str | os.PathLike[str] | dict[str, Any]) -> None:
        """Resume: network, optimiser, scaler, logger, epoch, best score and random states.

        Raises:
            UserError: the checkpoint cannot be read, is another trainer's, or does not fit the network of the plan.
        """
        try:
            name, checkpoint = self._readable(filename_or_checkpoint)
        except UserError:
            self.discard_output()
            raise
        self._restore(checkpoint)
        self.resumed_from = name

    def changes_since(self, state: dict[str, Any]) -> list[str]:
        """One text per setting in which this training differs from what stands in a checkpoint of its own."""
        return differing_keys(state["digest"], self.digest)

    def record(self) -> Record:
        """Which run this is: read once, for the data do not change while it lasts."""
        if self._record is None:
            self._record = self.make_record(*self.do_split())
        return self._record

    @abstractmethod
    def make_record(self, train_cases: list[str], val_cases: list[str]) -> Record:
        """The same, of these cases."""

    def _readable(self, given: str | os.PathLike[str] | dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Name and content of a checkpoint that this training can go on from."""
        if isinstance(given, dict):
            name, checkpoint = "The checkpoint", given
        else:
            name, checkpoint = str(given), read_checkpoint(given)
        self._require_own(name, checkpoint)
        if not self.was_initialized:
            self.initialize()
        state = checkpoint[LWI_KEY]
        another_run = differences(state.get("run"), self.record())
        if only_scans_are_new(another_run):
            self._go_on_with_scans_of(state["run"], another_run)
            another_run = []
        for what, problems in (
            ("does not fit the network and settings of this plan", self.misfits(checkpoint) or self.changes_since(state)),
            ("is of another run than this", another_run),
        ):
            if problems:
                raise UserError(
                    f"{name} {what}: {shortened(problems)}. Undo the change{way_back(problems)}, or move "
                    f"{self.output_folder} away and begin anew."
                )
        return name, checkpoint

    def _go_on_with_scans_of(self, run: Record, new: list[str]) -> None:
        """A run draws from what it began with to its end: those scans are there, and are what they were."""
        self.print_to_log_file(f"{'; '.join(new)}. This run goes on with those that it began with.")
        nothing: Record = {"scans": {}, "left_out": {}, "test_images": []}
        self._record = {**self.record(), UNLABELLED: run.get(UNLABELLED, nothing)}

    def _require_own(self, name: str, checkpoint: dict[str, Any]) -> None:
        trainer = checkpoint.get("trainer_name")
        if trainer != self.__class__.__name__ or not isinstance(checkpoint.get(LWI_KEY), dict):
            hint = f" Start step 2 from it with -pretrained_weights {name}." if trainer == STEP1_TRAINER else ""
            raise UserError(f"{name} is a checkpoint of {trainer}; {self.__class__.__name__} cannot go on from it.{hint}")
        require_format(name, checkpoint[LWI_KEY])
        lacking = sorted(KEYS_OF_A_CHECKPOINT - checkpoint.keys())
        lacking += [f"{LWI_KEY}.{key}" for key in lacking_keys(checkpoint[LWI_KEY], self.blocks)]
        if lacking:
            raise UserError(f"{name} is damaged: it holds no {', '.join(lacking)}. Use another one, or train again.")

    def misfits(self, checkpoint: dict[str, Any]) -> list[str]:
        """What keeps a checkpoint of this trainer from being restored: other weights, another optimiser."""
        problems = misfits(checkpoint["network_weights"], self.unwrapped_network, with_output_layers=True)
        theirs, ours = checkpoint["optimizer_state"], self.optimizer.state_dict()
        if optimizer_of(theirs) != optimizer_of(ours):
            problems.append(f"the optimiser is {optimizer_of(theirs)}, here {optimizer_of(ours)}")
        return problems

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.unwrapped_network.load_state_dict(checkpoint["network_weights"])
        self.optimizer.load_state_dict(checkpoint["optimizer_state"])
        if self.grad_scaler is not None and checkpoint["grad_scaler_state"] is not None:
            self.grad_scaler.load_state_dict(checkpoint["grad_scaler_state"])
        self.logger.load_checkpoint(checkpoint["logging"])
        self.current_epoch = checkpoint["current_epoch"]
        self._best_ema = checkpoint["_best_ema"]
        axes = checkpoint["inference_allowed_mirroring_axes"]
        self.inference_allowed_mirroring_axes = None if axes is None else tuple(axes)
        self.start = checkpoint[LWI_KEY]["start"]
        self._resume_random_state = checkpoint[LWI_KEY]["random_state"]

    def discard_output(self) -> None:
        """Remove this run's log, and the folders that it made if nothing else is in them: a refused run leaves no trace."""
        if self.local_rank != 0:
            return
        Path(self.log_file).unlink(missing_ok=True)
        self.writer.release()
        for made in self.made_folders:
            if made == Path(self.output_folder) / WANDB:
                shutil.rmtree(made, ignore_errors=True)
                continue
            (made / LOCK).unlink(missing_ok=True)
            if any(made.iterdir()):
                break
            made.rmdir()
