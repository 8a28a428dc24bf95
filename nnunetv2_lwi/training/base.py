"""What both trainers share: settings read before anything is written, and optimisation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from math import isfinite
from time import monotonic
from typing import Any, ClassVar

import torch
from nnunetv2.utilities.helpers import dummy_context
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor, autocast, nn

from nnunetv2_lwi.disk import DISK_TROUBLE, ONLY_WRITING, missing_folders, require_room, telling_disk_trouble, writing_failed
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.parts import keys_handed_over
from nnunetv2_lwi.handover.suitability import require_fitting
from nnunetv2_lwi.handover.transfer import plan_transfer
from nnunetv2_lwi.interruption import AskedToEnd
from nnunetv2_lwi.networks.build import telling_what_cannot_be_built
from nnunetv2_lwi.networks.dry_run import on_shapes
from nnunetv2_lwi.networks.memory import memory_of
from nnunetv2_lwi.nnunet.command_line import given_weights
from nnunetv2_lwi.nnunet.private import distributed_on, times_changed
from nnunetv2_lwi.planning.settings import LWISettings, TrainingSettings
from nnunetv2_lwi.training.loaded import LoadingTrainer
from nnunetv2_lwi.training.loading.augmentation import without_benchmarks
from nnunetv2_lwi.training.loading.checked_voxels import VoxelChecks
from nnunetv2_lwi.training.machine.devices import does_not_fit, memory_of_gpu, out_of_memory, stay_on_own_cores
from nnunetv2_lwi.training.machine.distributed import mean_over_steps, world_size
from nnunetv2_lwi.training.machine.randomness import seed_all
from nnunetv2_lwi.training.optimization import EpochSchedule, build_optimizer
from nnunetv2_lwi.training.preconditions import require_trainable
from nnunetv2_lwi.training.resumable import WANDB

CHECKPOINTS_AT_ONCE = 3
"""Best, latest, and the one that takes the place of either; at the end final, best and what takes latest's place."""


class LWITrainer(LoadingTrainer):
    """nnU-Net's trainer with the ``lwi`` block of the plan, and with checkpoints that survive a kill.

    Raises:
        UserError: the plan, the configuration, the device or the data do not allow the training; nothing was written.
    """

    step: ClassVar[str]
    """Which training settings of the ``lwi`` block apply: ``init`` or ``seg``."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        with telling_disk_trouble():
            plans = self.with_its_data(plans, configuration)
            prepared = require_trainable(self.__class__.__name__, plans, configuration, fold, dataset_json, device)
            self.target, self.warnings = prepared.target, prepared.warnings
            self.require_start(prepared.settings, device)
        self.lwi, self.digest = prepared.settings, prepared.digest
        self.decisions = [one for one in prepared.decisions if one.key.startswith("seg.") == (self.step == "seg")]
        if device.type == "cpu":
            stay_on_own_cores()
        self._require_network(prepared.configuration, prepared.channels, device)

        made = missing_folders(prepared.output_folder / WANDB)
        super().__init__(plans, configuration, fold, dataset_json, device)  # type: ignore[arg-type]
        if self.is_ddp and (device.type != "cuda" or device.index is not None):
            self.device = device  # in a launcher's group; nnU-Net takes the GPU of the rank's number
            if device.type != "cuda":
                self.grad_scaler = None
        self.made_folders = made
        self.num_epochs = self.training_settings.epochs
        self.initial_lr = self.training_settings.lr
        self.weight_decay = self.training_settings.weight_decay
        self.num_iterations_per_epoch = self.lwi.iterations_per_epoch
        self.num_val_iterations_per_epoch = self.lwi.val_iterations_per_epoch
        self.seed = None if self.lwi.seed is None else self.lwi.seed + self.local_rank
        if self.seed is not None:
            self.get_training_transforms = without_benchmarks(self.get_training_transforms)  # type: ignore[has-type]
        self.start = {}
        self._split_was_told = self.fold == "all"
        self._built_versions: dict[str, int] = {}
        self._last_checkpoint_at = monotonic()
        self._steps_of_epoch = []
        self._steps_before_cut = []
        self.voxel_checks = VoxelChecks([])
        self.train_cases: list[str] = []
        self.val_cases: list[str] = []
        self.configure()

    @staticmethod
    def with_its_data(plans: dict[str, Any], configuration: str) -> dict[str, Any]:
        """The plans, which say where the images lie."""
        return plans

    def require_start(self, settings: LWISettings, device: torch.device) -> None:
        """What the step begins from is looked for before anything is written.

        Raises:
            UserError: it cannot begin.
        """

    def configure(self) -> None:
        """What a step sets differently from nnU-Net, at the end of construction (whose arguments nnU-Net prescribes)."""

    @property
    def training_settings(self) -> TrainingSettings:
        """Epochs, optimiser and schedule of this step."""
        settings: TrainingSettings = getattr(self.lwi, self.step)
        return settings

    def _require_network(self, configuration: ConfigurationManager, channels: int, device: torch.device) -> None:
        """Build the network without memory for its weights and run it on shapes alone, where it can be.

        Raises:
            UserError: nonsense in the plan, or ``-pretrained_weights`` that do not fit; nothing was written.
        """
        with telling_what_cannot_be_built(configuration):
            network = on_shapes(lambda: self.try_network(configuration, channels))
        folder = self.target.output_folder(self.__class__.__name__)
        there = sum(path.stat().st_size for path in folder.glob("checkpoint_*.pth"))
        require_room(folder, self._bytes_to_write(network) - there, "its checkpoints")
        weights = given_weights()
        if weights is not None:
            require_fitting(weights, network)
        if device.type == "cuda":
            self._warn_of_memory(network, configuration, channels)

    def _warn_of_memory(self, network: nn.Module, configuration: ConfigurationManager, channels: int) -> None:
        with suppress(Exception, UserError):  # an estimate stops no training
            memory = memory_of(network, channels, configuration.patch_size)
            samples = -(-configuration.batch_size // world_size())
            needed = memory.needed(samples, self.training_settings.optimizer, mixed_precision=True, ranks=world_size())
            warning = does_not_fit({"init": "Step 1", "seg": "Step 2"}[self.step], needed, memory_of_gpu())
            self.warnings = [*self.warnings, *([warning] if warning else [])]

    def _bytes_to_write(self, network: nn.Module) -> int:
        """Of the checkpoints that lie there at once, the one that is being written among them."""
        states = 3 if self.training_settings.optimizer == "AdamW" else 2
        weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
        return CHECKPOINTS_AT_ONCE * states * weights

    @abstractmethod
    def try_network(self, configuration: ConfigurationManager, channels: int) -> nn.Module:
        """Build the network and run it on a patch, wherever torch makes tensors when it is called."""

    def initialize(self) -> None:
        """Build the network, seeded if the plan says so, remember the versions of its weights, and say what was decided."""
        if self.seed is not None:
            seed_all(self.seed)
        self._drawn_from = torch.get_rng_state()
        with distributed_on(self.device):
            super().initialize()
        self._built_versions = self._versions()
        for decision in self.decisions:
            self.print_to_log_file(f"Left open by the plan: {decision}.")
        for warning in self.warnings:
            self.print_to_log_file(f"WARNING: {warning}")

    def lwi_state(self) -> dict[str, Any]:
        """What is ours in a checkpoint, with what was decided and why."""
        return super().lwi_state() | {"decisions": list(map(str, self.decisions))}

    def kept_back_as_drawn(self, build: Callable[[], nn.Module]) -> dict[str, Tensor]:
        """What the plan does not hand over, output layers aside, as it was drawn.

        It is drawn again, for a copy would take memory all the time.

        Args:
            build: makes the network that the plan names, as :meth:`initialize` did.
        """
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._drawn_from)
            state = build().state_dict()
        transfer = plan_transfer(self.network_of_plan, self.keys_handed_over())
        return {key: state[key] for key in transfer.unwanted}

    @property
    def network_of_plan(self) -> nn.Module:
        """The network that the plan names, with an encoder and a decoder."""
        return self.unwrapped_network

    def keys_handed_over(self) -> set[str]:
        """What of the network goes from step 1 to step 2, as the plan says."""
        patch_size = self.configuration_manager.patch_size
        return keys_handed_over(self.network_of_plan, self.lwi.seg, self.num_input_channels, patch_size)

    def _versions(self) -> dict[str, int]:
        return {name: times_changed(parameter) for name, parameter in self.unwrapped_network.named_parameters()}

    def weights_were_loaded(self) -> bool:
        """Whether any weight changed since the network was built: then ``-pretrained_weights`` was given."""
        return self._versions() != self._built_versions

    def run_training(self) -> None:
        """nnU-Net's; before a mistake is told the loaders' workers are ended, which keeps them quiet.

        Raises:
            UserError: also where a disk is full or does not take a file; the checkpoints that stand are whole.
            AskedToEnd: by a signal; what was trained is saved.
        """
        try:
            self.train_until_asked_to_end()
        except (UserError, AskedToEnd):
            self._end_workers()
            raise
        except torch.OutOfMemoryError as error:
            self._end_workers()
            raise out_of_memory(self.batch_size, self.configuration_manager.patch_size) from error
        except OSError as error:
            if error.errno not in DISK_TROUBLE:
                raise
            self._end_workers()
            doing = "written" if error.errno in ONLY_WRITING else "read or written"
            raise writing_failed(error, error.filename or self.output_folder, doing) from error
        finally:
            self.writer.release()

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, EpochSchedule]:
        """Optimiser and schedule of the plan, with what a subclass has set otherwise since, as nnU-Net's variants do.

        Raises:
            UserError: the subclass leaves no epoch after the warm-up.
        """
        settings = replace(
            self.training_settings, epochs=max(1, self.num_epochs), lr=self.initial_lr, weight_decay=self.weight_decay
        )
        if 0 < settings.warmup_epochs >= settings.epochs:
            raise UserError(
                f"{self.__class__.__name__} trains {settings.epochs} epochs, of which lwi.{self.step}.warmup_epochs = "
                f"{settings.warmup_epochs} in the plan leaves none: set more epochs, or a shorter warm-up."
            )
        optimizer = build_optimizer(self.network.parameters(), settings)
        return optimizer, EpochSchedule(optimizer, settings)

    def autocast(self) -> Any:
        """Mixed precision where nnU-Net uses it: on CUDA."""
        return autocast(self.device.type, enabled=True) if self.device.type == "cuda" else dummy_context()

    def on_device(self, tensor: Tensor) -> Tensor:
        """A tensor of a batch; CUDA alone keeps the source's memory until it has been read."""
        return tensor.to(self.device, non_blocking=self.device.type == "cuda")

    @abstractmethod
    def losses_of(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The ``loss`` of a training batch and, if there are any, its parts; with their graph."""

    def train_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One step; returns the loss and its parts, still on the device.

        Raises:
            UserError: a case has NaN or infinite voxels.
        """
        self.voxel_checks.require()
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.losses_of(batch)
        self.optimize(losses["loss"])
        given = {name: value.detach() for name, value in losses.items()}
        self._steps_of_epoch.append(given)
        if self.interruption is not None:
            self.end_if_asked()
        return given

    def try_step(self, batch: dict[str, Any]) -> None:
        """Forward and backward pass; gradients are dropped."""
        losses = self.losses_of(batch)
        (losses["loss"] if self.grad_scaler is None else self.grad_scaler.scale(losses["loss"])).backward()
        self.optimizer.zero_grad(set_to_none=True)

    @contextmanager
    def left_as_it_is(self) -> Iterator[None]:
        """Buffers, gradients and random states are as before when it ends; ranks do not exchange gradients meanwhile."""
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        random_state = self.random_state()
        try:
            with self.network.no_sync() if self.is_ddp else nullcontext():
                yield
        finally:
            self.optimizer.zero_grad(set_to_none=True)
            for buffer, before in zip(self.network.buffers(), buffers, strict=True):
                buffer.copy_(before)
            self.set_random_state(random_state)

    def optimize(self, loss: Tensor) -> None:
        """One step down the gradient, scaled and clipped; beside the backward pass the next batch is made."""
        parameters = self.network.parameters()
        clip = self.training_settings.gradient_clip
        if self.grad_scaler is None:
            loss.backward()
            self.prepare_next_batch()
            if clip is not None:
                nn.utils.clip_grad_norm_(parameters, clip)
            self.optimizer.step()
            return
        self.grad_scaler.scale(loss).backward()
        self.prepare_next_batch()
        self.grad_scaler.unscale_(self.optimizer)
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def on_train_epoch_end(self, train_outputs: list[dict[str, Tensor]]) -> None:
        """Log the epoch's mean of what the steps returned."""
        for name, value in self.means_of([*self.take_steps_before_cut(), *train_outputs], "training").items():
            self.logger.log("train_losses" if name == "loss" else f"train_{name}", value, self.current_epoch)

    def means_of(self, outputs: list[dict[str, Tensor]], kind: str) -> dict[str, float]:
        """An epoch's means; where a scaler skips steps that overflow, they are left out and told."""
        means, overflowed = mean_over_steps(outputs, only_finite=self.grad_scaler is not None)
        self.tell_of_overflows(overflowed, kind)
        return means

    def tell_of_overflows(self, number: int, kind: str) -> None:
        """In the log; the step of such a loss is skipped by nnU-Net's gradient scaler."""
        if number and self.grad_scaler is not None:
            self.print_to_log_file(
                f"WARNING: {number} {kind} losses of this epoch were not finite in mixed precision and were left out "
                f"(gradient scale now {self.grad_scaler.get_scale():g})."
            )

    def require_finite_losses(self) -> None:
        """Stop before an epoch with a broken loss is saved over a good one.

        Raises:
            UserError: training or validation loss is not finite.
        """
        for name in ("train_losses", "val_losses"):
            loss = self.logger.get_value(name, step=-1)
            if not isfinite(loss):
                raise UserError(
                    f"The {name.split('_')[0]} loss became {loss} in epoch {self.current_epoch}. The checkpoints of "
                    f"earlier epochs in {self.output_folder} stand. Lower lwi.{self.step}.lr or "
                    f"lwi.{self.step}.gradient_clip, or look for NaN or infinite voxels in the data."
                )
