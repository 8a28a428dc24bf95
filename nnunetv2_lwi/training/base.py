"""What both trainers share: settings read before anything is written, optimisation, checkpoints and resuming."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.helpers import dummy_context
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor, autocast, nn
from torch._dynamo import OptimizedModule

from nnunetv2_lwi.checkpoint import (
    FORMAT,
    LWI_KEY,
    on_cpu,
    read_checkpoint,
    remove_partial_checkpoints,
    require_format,
    write_checkpoint,
)
from nnunetv2_lwi.digest import Digest, differing_keys, make_digest
from nnunetv2_lwi.disk import WRITE_REFUSALS, require_writable, writing_failed
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover import lacking_keys, misfits, shortened
from nnunetv2_lwi.names import STEP1_TRAINER, output_folder
from nnunetv2_lwi.settings import LWISettings, TrainingSettings
from nnunetv2_lwi.training.augmentation import require_augmentable, without_benchmarks
from nnunetv2_lwi.training.build import telling_what_cannot_be_built
from nnunetv2_lwi.training.cpu_threads import stay_on_own_cores
from nnunetv2_lwi.training.device_loader import DeviceLoader, host_loader
from nnunetv2_lwi.training.device_transforms import NoDeviceForm, on_device
from nnunetv2_lwi.training.distributed import mean_over_steps
from nnunetv2_lwi.training.finite_voxels import CheckedDataset, FiniteVoxels
from nnunetv2_lwi.training.loader_workers import end_workers
from nnunetv2_lwi.training.optimization import EpochSchedule, build_optimizer, optimizer_of
from nnunetv2_lwi.training.preconditions import (
    count_channels,
    require_device,
    require_preprocessed,
    resolve_configuration,
)
from nnunetv2_lwi.training.randomness import get_random_state, seed_all, set_random_state
from nnunetv2_lwi.training.split_file import read_splits, require_cases, require_fold
from nnunetv2_lwi.training.stock_command import require_fitting_weights

KEYS_OF_A_CHECKPOINT = {
    "network_weights", "optimizer_state", "grad_scaler_state", "logging", "_best_ema", "current_epoch",
    "inference_allowed_mirroring_axes",
}  # fmt: skip

SECONDS_BETWEEN_CHECKPOINTS = 600.0
"""``checkpoint_latest`` is written every epoch or this often, whichever is rarer."""


class LWITrainer(nnUNetTrainer):
    """nnU-Net's trainer with the ``lwi`` block of the plan, and with checkpoints that survive a kill.

    Raises:
        UserError: the plan, the configuration, the device or the data do not allow the training; nothing was written.
    """

    step: ClassVar[str]
    """Which training settings of the ``lwi`` block apply: ``init`` or ``seg``."""
    blocks: ClassVar[dict[str, tuple[str, ...]]] = {"digest": (), "start": ("kind",), "random_state": ()}
    """What is ours in a checkpoint that a training can go on from, and what must stand in it."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        require_device(device)
        if device.type == "cpu":
            stay_on_own_cores()
        resolved = resolve_configuration(plans, configuration)
        self.lwi = LWISettings.from_configuration(resolved.configuration)
        require_augmentable(resolved.patch_size)
        require_preprocessed(plans["dataset_name"], resolved, plans["plans_name"], configuration)
        require_fold(Path(str(nnUNet_preprocessed)) / plans["dataset_name"], resolved.data_identifier, fold)
        trainer = self.__class__.__name__
        require_writable(output_folder(trainer, plans["dataset_name"], plans["plans_name"], configuration, fold))
        channels = count_channels(plans, resolved, dataset_json)
        self.digest: Digest = make_digest(resolved.configuration, channels, self.lwi)
        with telling_what_cannot_be_built(resolved):
            network = self.try_network(resolved, channels)
        require_fitting_weights(network)

        super().__init__(plans, configuration, fold, dataset_json, device)  # type: ignore[arg-type]
        self.num_epochs = self.training_settings.epochs
        self.initial_lr = self.training_settings.lr
        self.weight_decay = self.training_settings.weight_decay
        self.num_iterations_per_epoch = self.lwi.iterations_per_epoch
        self.num_val_iterations_per_epoch = self.lwi.val_iterations_per_epoch
        self.seed = None if self.lwi.seed is None else self.lwi.seed + self.local_rank
        if self.seed is not None:
            self.get_training_transforms = without_benchmarks(self.get_training_transforms)  # type: ignore[has-type]
        if self.augments_on_device:
            self.get_training_transforms = self._kept_for_device(self.get_training_transforms)
        self.device_transforms: ComposeTransforms | None = None
        self.start: dict[str, Any] = {}
        self.resumed_from: str | None = None
        self._built_versions: dict[str, int] = {}
        self._resume_random_state: dict[str, Any] | None = None
        self._last_checkpoint_at = monotonic()
        self.finite_voxels = FiniteVoxels([])
        self.train_cases: list[str] = []
        self.val_cases: list[str] = []
        self.configure()

    def configure(self) -> None:
        """What a step sets differently from nnU-Net, at the end of construction (whose arguments nnU-Net prescribes)."""

    @property
    def training_settings(self) -> TrainingSettings:
        """Epochs, optimiser and schedule of this step."""
        settings: TrainingSettings = getattr(self.lwi, self.step)
        return settings

    @property
    def augments_on_device(self) -> bool:
        """Whether the training transforms run on the device and not in the loader's workers."""
        return self.device.type == "cuda" and self.lwi.augmentation_device == "auto"

    def _kept_for_device(self, make_transforms: Callable[..., ComposeTransforms]) -> Callable[..., ComposeTransforms | None]:
        """The same, but the loader gets no transforms: they are kept, in forms for the device."""

        def make(*args: Any, **kwargs: Any) -> ComposeTransforms | None:
            transforms = make_transforms(*args, **kwargs)
            ignored = [self.label_manager.ignore_label] if self.label_manager.has_ignore_label else []
            try:
                self.device_transforms = on_device(transforms, [-1, *self.label_manager.all_labels, *ignored])
            except NoDeviceForm as reason:
                self.print_to_log_file(f"Augmentation runs in the loader's workers: {reason}.")
                return transforms
            self.print_to_log_file(f"Augmentation runs on {self.device}; the loader's workers read, crop and pad.")
            return None

        return make

    @abstractmethod
    def try_network(self, configuration: ConfigurationManager, channels: int) -> nn.Module:
        """Build the network and run it on shapes, so that nonsense in the plan is told before anything is written."""

    @property
    def unwrapped_network(self) -> nn.Module:
        """The network without DistributedDataParallel and torch.compile."""
        network: Any = self.network.module if self.is_ddp else self.network
        return network._orig_mod if isinstance(network, OptimizedModule) else network

    def initialize(self) -> None:
        """Build the network, seeded if the plan says so, and remember the versions of its weights."""
        if self.seed is not None:
            seed_all(self.seed)
        super().initialize()
        self._built_versions = self._versions()

    def _versions(self) -> dict[str, int]:
        return {name: parameter._version for name, parameter in self.unwrapped_network.named_parameters()}

    def weights_were_loaded(self) -> bool:
        """Whether any weight changed since the network was built: then ``-pretrained_weights`` was given."""
        return self._versions() != self._built_versions

    def do_split(self) -> tuple[list[str], list[str]]:
        """nnU-Net's split, remembered for the checkpoint.

        Raises:
            UserError: the split file is none, a fold is without cases, or names some that are not there.
        """
        if self.fold != "all":
            read_splits(Path(self.preprocessed_dataset_folder_base))
        self.train_cases, self.val_cases = super().do_split()
        available = self.dataset_class.get_identifiers(self.preprocessed_dataset_folder)
        require_cases(self.train_cases, self.val_cases, available, self.preprocessed_dataset_folder)
        return self.train_cases, self.val_cases

    def get_tr_and_val_datasets(self) -> tuple[CheckedDataset, CheckedDataset]:
        """nnU-Net's, whose images are searched for NaN and infinity as the loaders' workers read them."""
        train, val = super().get_tr_and_val_datasets()
        self.finite_voxels = FiniteVoxels({*train.identifiers, *val.identifiers})
        return CheckedDataset(train, self.finite_voxels), CheckedDataset(val, self.finite_voxels)

    def get_dataloaders(self) -> tuple[Any, Any]:
        """nnU-Net's, which draw their first batches here."""
        self.dataloader_train, self.dataloader_val = super().get_dataloaders()
        self.finite_voxels.require()
        if self.device_transforms is not None:
            self.dataloader_train = DeviceLoader(self.dataloader_train, self.device_transforms, self.device)
        return self.dataloader_train, self.dataloader_val

    def run_training(self) -> None:
        """nnU-Net's; before a mistake is told the loaders' workers are ended, which keeps them quiet.

        Raises:
            UserError: also where a disk is full or does not take a file; the checkpoints that stand are whole.
        """
        try:
            super().run_training()
        except UserError:
            self._end_workers()
            raise
        except OSError as error:
            if error.errno not in WRITE_REFUSALS:
                raise
            self._end_workers()
            raise writing_failed(error, error.filename or self.output_folder) from error

    def on_train_end(self) -> None:
        """nnU-Net's, which ends the workers of loaders that it knows."""
        self.dataloader_train = host_loader(self.dataloader_train)
        super().on_train_end()

    def _end_workers(self) -> None:
        for loader in (self.dataloader_train, self.dataloader_val):
            end_workers(loader)

    def on_train_start(self) -> None:
        """nnU-Net's start of a training; a resumed one then goes on with the random states it stopped with.

        Raises:
            UserError: data or split cannot be used; nothing is left behind.
        """
        if self.local_rank == 0:
            remove_partial_checkpoints(self.output_folder)
        try:
            super().on_train_start()
        except UserError:
            self.discard_output()
            raise
        if self._resume_random_state is not None:
            self.restore_random_state(self._resume_random_state)
            self._resume_random_state = None
        self._last_checkpoint_at = monotonic()

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, EpochSchedule]:
        """Optimiser and schedule of the plan."""
        optimizer = build_optimizer(self.network.parameters(), self.training_settings)
        return optimizer, EpochSchedule(optimizer, self.training_settings)

    def autocast(self) -> Any:
        """Mixed precision where nnU-Net uses it: on CUDA."""
        return autocast(self.device.type, enabled=True) if self.device.type == "cuda" else dummy_context()

    def optimize(self, loss: Tensor) -> None:
        """One step down the gradient, scaled and clipped."""
        parameters = self.network.parameters()
        clip = self.training_settings.gradient_clip
        if self.grad_scaler is None:
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(parameters, clip)
            self.optimizer.step()
            return
        self.grad_scaler.scale(loss).backward()
        self.grad_scaler.unscale_(self.optimizer)
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def on_train_epoch_end(self, train_outputs: list[dict[str, Tensor]]) -> None:
        """Log the epoch's mean of what the steps returned."""
        for name, value in mean_over_steps(train_outputs).items():
            self.logger.log("train_losses" if name == "loss" else f"train_{name}", value, self.current_epoch)

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

    def save_latest_if_due(self) -> None:
        """Write ``checkpoint_latest`` if it is time; the last thing of an epoch, after ``current_epoch`` went on.

        It comes after ``checkpoint_best``: the other way round, a run killed between the two would go on after an epoch
        whose weights, the best so far, are in no file.
        """
        if monotonic() - self._last_checkpoint_at < SECONDS_BETWEEN_CHECKPOINTS or self.current_epoch == self.num_epochs:
            return
        self.current_epoch -= 1  # save_checkpoint, as nnU-Net's, expects the epoch that ended
        self.save_checkpoint(str(Path(self.output_folder) / "checkpoint_latest.pth"))
        self.current_epoch += 1
        self._last_checkpoint_at = monotonic()

    def save_checkpoint(self, filename: str) -> None:
        """Write a checkpoint: nnU-Net's keys, and ours under ``lwi``; plain values and CPU tensors only."""
        if self.local_rank != 0:
            return
        if self.disable_checkpointing:
            self.print_to_log_file("No checkpoint written, checkpointing is disabled")
            return
        write_checkpoint(
            {
                "network_weights": on_cpu(self.unwrapped_network.state_dict()),
                "optimizer_state": self.optimizer.state_dict(),
                "grad_scaler_state": None if self.grad_scaler is None else self.grad_scaler.state_dict(),
                "logging": self.logger.get_checkpoint(),
                "_best_ema": self._best_ema,
                "current_epoch": self.current_epoch + 1,
                "init_args": self.my_init_kwargs,
                "trainer_name": self.__class__.__name__,
                "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
                LWI_KEY: self.lwi_state() | {"random_state": self.random_state()},
            },
            filename,
        )

    def lwi_state(self) -> dict[str, Any]:
        """What is ours in a checkpoint."""
        return {"format": FORMAT, "digest": self.digest, "start": self.start}

    def random_state(self) -> dict[str, Any]:
        """Every generator that the training draws from."""
        return get_random_state()

    def restore_random_state(self, state: dict[str, Any]) -> None:
        """Go on drawing where the checkpoint was written; ranks but the first, whose states were not saved, reseed."""
        if self.local_rank == 0:
            set_random_state(state)
        elif self.seed is not None:
            seed_all(self.seed + self.current_epoch)

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
        for difference in self.changes_since(checkpoint[LWI_KEY]):
            self.print_to_log_file(f"WARNING: the plan changed since {name} was written: {difference}")

    def changes_since(self, state: dict[str, Any]) -> list[str]:
        """One text per setting in which this training differs from what stands in a checkpoint of its own."""
        return differing_keys(state["digest"], self.digest)

    def _readable(self, given: str | os.PathLike[str] | dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Name and content of a checkpoint that this training can go on from."""
        if isinstance(given, dict):
            name, checkpoint = "The checkpoint", given
        else:
            name, checkpoint = str(given), read_checkpoint(given)
        self._require_own(name, checkpoint)
        if not self.was_initialized:
            self.initialize()
        problems = self.misfits(checkpoint)
        if problems:
            raise UserError(
                f"{name} does not fit the network and settings of this plan: {shortened(problems)}. Undo the change, "
                f"or move {self.output_folder} away and begin anew."
            )
        return name, checkpoint

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
        """Remove this run's log, and its folders if nothing else is in them: a refused run leaves no trace."""
        if self.local_rank != 0:
            return
        Path(self.log_file).unlink(missing_ok=True)
        folder = Path(self.output_folder)
        for empty in (folder, folder.parent, folder.parent.parent):
            if any(empty.iterdir()):
                break
            empty.rmdir()
