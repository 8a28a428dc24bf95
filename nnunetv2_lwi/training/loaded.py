"""What both trainers load: which cases, augmented where, looked at as they are read; and which run that makes."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_lwi.errors import shortened
from nnunetv2_lwi.handover.record import UNLABELLED, Record, record_of
from nnunetv2_lwi.nnunet.split_file import SPLIT_FILE, Cases, make_split_if_none, read_splits, require_cases, unused_cases
from nnunetv2_lwi.planning.settings import LWISettings
from nnunetv2_lwi.training.interruptible import InterruptibleTrainer
from nnunetv2_lwi.training.loading.augmentation_trial import Disagreement, MadeBothWays, Trial, make_both_ways
from nnunetv2_lwi.training.loading.checked_voxels import CheckedDataset, VoxelChecks
from nnunetv2_lwi.training.loading.device_loader import DeviceLoader, host_loader, loader_within, moved_to_device
from nnunetv2_lwi.training.loading.device_transforms import NoDeviceForm, Split, split
from nnunetv2_lwi.training.loading.joined import JoinedDataset, UnlabelledDataset, describe_images
from nnunetv2_lwi.training.loading.workers import end_workers, wait_until_full
from nnunetv2_lwi.training.machine.devices import cores, one_thread
from nnunetv2_lwi.training.machine.distributed import all_agree, is_distributed, processes_here
from nnunetv2_lwi.training.step2_needs import highest_label
from nnunetv2_lwi.unlabelled.alone import is_alone, split_scans
from nnunetv2_lwi.unlabelled.folder import UnlabelledFolder


class LoadingTrainer(InterruptibleTrainer):
    """nnU-Net's trainer, which looks at what its loaders' workers read."""

    reads_labels: ClassVar[bool]
    configuration_manager: ConfigurationManager
    lwi: LWISettings
    voxel_checks: VoxelChecks
    dataloader_train: Any
    train_cases: list[str]
    val_cases: list[str]
    _split_was_told: bool

    @property
    def needs_segmentations(self) -> bool:
        """Whether the loaders read them."""
        return True

    @property
    def may_augment_on_device(self) -> bool:
        """Whether the training transforms may run on the device and not in the loader's workers."""
        return self.device.type == "cuda" and self.lwi.augmentation_device == "auto"

    def _augment_where_it_is_faster(self) -> None:
        """Move the augmentation to the device if a trial on this machine says so; whatever goes wrong with it, do not.

        The trial changes nothing that a training goes on from: neither weights nor random states. In a group of ranks all
        make steps, in which they wait for each other, or none.
        """
        loader, workers = loader_within(self.dataloader_train), self._workers_side_by_side()
        faster, told = False, "the trial failed on another rank"
        with self.left_as_it_is(), one_thread():
            made, problem = self._made_both_ways(loader)
            if all_agree(made is not None) and made is not None:
                trial, problem = self._timed(made, workers)
                faster, told = trial is not None and trial.is_faster, str(trial)
        told = problem or told
        if all_agree(faster) and made is not None:
            self.augment_on_device(made.shared)
            self.print_to_log_file(f"Augmentation runs on {self.device}; the loader's workers read and cut: {told}.")
        else:
            self.print_to_log_file(f"Augmentation runs in the loader's workers, as nnU-Net's: {told}.")

    def _made_both_ways(self, loader: Any) -> tuple[MadeBothWays | None, str]:
        """Batches for the trial, or why there are none."""
        wait_until_full(self.dataloader_train)
        try:
            return make_both_ways(loader, split(loader.transforms), self.device), ""
        except (NoDeviceForm, Disagreement) as reason:
            return None, str(reason)
        except Exception as error:
            return None, f"the trial ended with {type(error).__name__}: {' '.join(str(error).split())}"

    def _timed(self, made: MadeBothWays, workers: int) -> tuple[Trial | None, str]:
        """The trial, or why there is none; a rank that fails here fails for all, as the others wait for it within a step."""
        try:
            return made.timed(self.try_step, workers), ""
        except Exception as error:
            if is_distributed():
                raise
            return None, f"the trial ended with {type(error).__name__}: {' '.join(str(error).split())}"

    def augment_on_device(self, shared: Split) -> None:
        """From the next training batch on."""
        self.dataloader_train = moved_to_device(self.dataloader_train, shared, self.device)

    def _workers_side_by_side(self) -> int:
        """Of this process's loader, as many as the cores that it has for them."""
        workers: int = get_allowed_n_proc_DA()
        return min(workers, max(1, cores() // processes_here()))

    @abstractmethod
    def left_as_it_is(self) -> AbstractContextManager[None]:
        """While something is tried: weights' buffers, gradients and random states are as before when it ends."""

    @abstractmethod
    def try_step(self, batch: dict[str, Any]) -> None:
        """Forward and backward pass, without a step of the optimiser."""

    def do_split(self) -> tuple[list[str], list[str]]:
        """nnU-Net's split, remembered for the checkpoint.

        Raises:
            UserError: the split file is none, a fold is without cases, or names some that are not there.
        """
        if is_alone(self.configuration_manager.configuration):
            return self._split_scans()
        dataset_class = self.dataset_class or infer_dataset_class(self.preprocessed_dataset_folder)
        available = dataset_class.get_identifiers(self.preprocessed_dataset_folder)
        if self.fold != "all":
            read_splits(Path(self.preprocessed_dataset_folder_base))
            make_split_if_none(Path(self.preprocessed_dataset_folder_base), available)
        self.train_cases, self.val_cases = super().do_split()
        require_cases(self.train_cases, self.val_cases, available, self.preprocessed_dataset_folder)
        if not self._split_was_told:
            self._tell_of_unused(available)
        return self.train_cases, self.val_cases

    def _split_scans(self) -> tuple[list[str], list[str]]:
        """Of a data set without labels: a few scans are kept for validation, those of the start also at the end."""
        if self.train_cases:
            return self.train_cases, self.val_cases
        folder = Path(self.preprocessed_dataset_folder_base)
        cases = split_scans(folder, self.plans_manager.plans, self.configuration_manager.configuration)
        self.print_to_log_file(
            f"Images: {len(cases.train)} scans without labels, no labelled cases; {len(cases.val)} more for validation."
        )
        self.train_cases, self.val_cases = list(cases.train), list(cases.val)
        return self.train_cases, self.val_cases

    def _tell_of_unused(self, available: list[str]) -> None:
        """Cases that came after the split was written: nnU-Net leaves them out and says nothing."""
        self._split_was_told = True
        unused = unused_cases(Path(self.preprocessed_dataset_folder_base), available)
        if unused:
            self.print_to_log_file(
                f"WARNING: {len(unused)} preprocessed cases are in no fold of {SPLIT_FILE}, so that neither step uses them: "
                f"{shortened(unused)}. Add them there, or remove the file and nnU-Net makes a new one."
            )

    def make_record(self, train_cases: list[str], val_cases: list[str]) -> Record:
        """Of this plan and these cases, as they lie preprocessed."""
        return record_of(
            self.plans_manager.plans,
            self.configuration_manager.configuration,
            Cases(train_cases, val_cases),
            self.dataset_json if self.reads_labels else None,
            None if self.reads_labels else self.lwi.init,
        )

    def unlabelled_images(self) -> UnlabelledDataset | None:
        """Scans that step 1 draws from beside the fold's images, as the run's record has them; told in the log."""
        if self.reads_labels:
            return None
        chosen = self.record()[UNLABELLED]
        identifier = self.configuration_manager.data_identifier
        folder = UnlabelledFolder.beside(Path(self.preprocessed_dataset_folder_base), identifier)
        for line in describe_images(len(self.train_cases), chosen, folder.path, self.lwi.init.labelled_share):
            self.print_to_log_file(line)
        return UnlabelledDataset(folder, sorted(chosen["scans"])) if chosen["scans"] else None

    def get_tr_and_val_datasets(self) -> tuple[CheckedDataset | JoinedDataset, CheckedDataset]:
        """nnU-Net's, whose voxels are looked at as the loaders' workers read them: NaN, infinity, undeclared labels."""
        train, val = super().get_tr_and_val_datasets()
        highest = highest_label(self.label_manager) if self.reads_labels else None
        unlabelled = self.unlabelled_images()
        more = () if unlabelled is None else unlabelled.identifiers
        self.voxel_checks = VoxelChecks({*train.identifiers, *val.identifiers, *more}, highest)
        labelled, validated = self._checked(train), self._checked(val)
        if unlabelled is None:
            return labelled, validated
        return JoinedDataset(labelled, self._checked(unlabelled), self.lwi.init.labelled_share), validated

    def _checked(self, dataset: Any) -> CheckedDataset:
        return CheckedDataset(dataset, self.voxel_checks, self.needs_segmentations)

    def get_dataloaders(self) -> tuple[Any, Any]:
        """nnU-Net's, which draw their first batches here."""
        self.dataloader_train, self.dataloader_val = super().get_dataloaders()
        self.voxel_checks.require()
        if self.may_augment_on_device:
            self._augment_where_it_is_faster()
            self.voxel_checks.require()
        return self.dataloader_train, self.dataloader_val

    def prepare_next_batch(self) -> None:
        """Where the device augments: beside what it is doing now."""
        if isinstance(self.dataloader_train, DeviceLoader):
            self.dataloader_train.prepare()

    def on_train_end(self) -> None:
        """nnU-Net's, which ends the workers of loaders that it knows."""
        self.dataloader_train = host_loader(self.dataloader_train)
        super().on_train_end()

    def _end_workers(self) -> None:
        for loader in (self.dataloader_train, self.dataloader_val):
            end_workers(loader)
