"""The device's loader under nnU-Net's own loop, and both trainers with it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgeneratorsv2.transforms.intensity.inversion import InvertImageTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from nnunetv2_lwi.training.loading import device_loader
from nnunetv2_lwi.training.loading.augmentation_trial import Trial
from nnunetv2_lwi.training.loading.device_loader import DeviceLoader, augment, tensors_of
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.pretended_cuda import CUDA, PretendedCuda

TRAINERS = [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg]
RANDOM_START = {"start": "random", "epochs": 2, "lr": 1e-2}


@pytest.fixture
def on_its_device(monkeypatch):
    """Both trainers augment on their device, which is the CPU, whatever is faster."""
    for cls in TRAINERS:
        monkeypatch.setattr(cls, "may_augment_on_device", True)
    monkeypatch.setattr(Trial, "is_faster", True)


def first_batch(trainer):
    """The training batch that belongs to a seed."""
    trainer.initialize()
    loader, _ = trainer.get_dataloaders()
    np.random.seed(5)
    torch.manual_seed(5)
    return next(loader)


@pytest.mark.parametrize("options", [{}, {"regions": True, "ignore_label": True, "channels": 2, "use_mask_for_norm": True}])
@pytest.mark.parametrize("cls", TRAINERS)
def test_a_batch_is_the_one_that_nnunets_workers_would_make(make_dataset, request, cls, options):
    """Of one sample: with more, crops and transforms are drawn in another order."""
    dataset = make_dataset(batch_size=1, **options)
    theirs = first_batch(dataset.trainer(cls, seg=RANDOM_START))
    request.getfixturevalue("on_its_device")
    trainer = dataset.trainer(cls, seg=RANDOM_START)
    ours = first_batch(trainer)
    assert isinstance(trainer.dataloader_train, DeviceLoader)
    assert trainer.dataloader_train.loader.data_loader.transforms is None
    assert ours["keys"] == theirs["keys"]
    for a, b in zip(tensors_of(ours), tensors_of(theirs), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert ((a.float() - b.float()).abs() < 1e-4).float().mean() > 0.999


def test_step_1_hands_over_no_segmentation(dataset, on_its_device):
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.initialize()
    loader, _ = trainer.get_dataloaders()
    assert all("segmentation" not in sample for sample in next(loader.loader)["samples"])
    assert next(loader)["target"].shape == (2, 1, 1, 1, 1)


@pytest.mark.parametrize("cls", TRAINERS)
def test_a_training_runs_and_says_where_it_augments(dataset, on_its_device, cls):
    trainer = dataset.trainer(cls, seg=RANDOM_START)
    trainer.run_training()
    assert trainer.current_epoch == 2
    log = Path(trainer.log_file).read_text()
    assert re.search(
        r"runs on cpu; the loader's workers read and cut: [\d.]+ iterations/s with it, [\d.]+ with 0 workers alone", log
    )


def test_its_workers_end_with_the_training(dataset, on_its_device, monkeypatch):
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.on_train_start()
    workers = trainer.dataloader_train.loader
    batch = next(trainer.dataloader_train)
    assert isinstance(workers, NonDetMultiThreadedAugmenter) and workers.initialized
    assert batch["data"].shape[2:] == (8, 16, 16)
    trainer.on_train_end()
    assert not workers.initialized and not trainer.dataloader_val.initialized


def test_transforms_that_are_not_nnunets_stay_in_the_workers(dataset, on_its_device):
    class Inverting(nnUNetTrainerLWISeg):
        @staticmethod
        def get_training_transforms(*args, **kwargs):
            transforms = nnUNetTrainerLWISeg.get_training_transforms(*args, **kwargs)
            return ComposeTransforms([*transforms.transforms, InvertImageTransform(0.5, 0.5, 0.5)])

    trainer = dataset.trainer(Inverting, seg=RANDOM_START)
    trainer.initialize()
    loader, _ = trainer.get_dataloaders()
    assert not isinstance(loader, DeviceLoader) and len(loader.data_loader.transforms.transforms) > 5
    expected = (
        "Augmentation runs in the loader's workers, as nnU-Net's: InvertImageTransform is only known to run on the CPU."
    )
    assert expected in Path(trainer.log_file).read_text()


@pytest.mark.parametrize(
    ("device", "setting", "expected"),
    [("cuda", "auto", True), ("cuda", "cpu", False), ("cpu", "auto", False), ("mps", "auto", False)],
)
def test_it_is_for_cuda_unless_the_plan_says_otherwise(dataset, device, setting, expected):
    trainer = dataset.trainer(nnUNetTrainerLWIInit, augmentation_device=setting)
    trainer.device = torch.device(device)
    assert trainer.may_augment_on_device == expected


@pytest.mark.parametrize("cls", TRAINERS)
def test_a_batch_goes_to_a_gpu_whole_and_is_augmented_there(dataset, on_its_device, cls):
    trainer = dataset.trainer(cls, seg=RANDOM_START)
    trainer.initialize()
    loader, _ = trainer.get_dataloaders()
    samples = next(loader.loader)["samples"]
    with PretendedCuda():
        batch = augment(samples, loader.transforms, CUDA)
        assert {tensor.device for tensor in tensors_of(batch)} == {CUDA} and batch["data"].shape == (2, 1, 8, 16, 16)


class Stream:
    """Notes what is done in which order; stands for a CUDA stream."""

    def __init__(self, log, name):
        self.log, self.name = log, name

    def __enter__(self):
        self.log.append(f"on {self.name}")

    def __exit__(self, *raised):
        self.log.append(f"off {self.name}")

    def wait_stream(self, other):
        self.log.append(f"{self.name} waits for {other.name}")


@pytest.fixture
def pretended_streams(monkeypatch):
    """What is done, in order, where two streams of a GPU are."""
    log: list[str] = []

    class Tensor:
        def record_stream(self, stream):
            log.append(f"kept for {stream.name}")

    def make(samples, transforms, device):
        log.append(f"makes {samples}")
        return {"data": Tensor(), "target": Tensor()}

    monkeypatch.setattr(device_loader, "augment", make)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(log, "side"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(log, "main"))
    return log


def numbered():
    return ({"samples": number, "keys": number} for number in range(9))


MADE = ["on side", "makes {}", "off side"]
HANDED_OVER = ["main waits for side", "kept for main", "kept for main"]


def test_a_batch_that_was_not_prepared_is_made_when_it_is_asked_for(pretended_streams):
    loader = DeviceLoader(numbered(), ComposeTransforms([]), CUDA)
    assert next(loader)["keys"] == 0 and next(loader)["keys"] == 1
    assert pretended_streams == [line.format(number) for number in (0, 1) for line in (*MADE, *HANDED_OVER)]


@pytest.mark.parametrize("cls", TRAINERS)
@pytest.mark.parametrize("scaled", [False, True])
def test_the_next_batch_is_made_once_the_backward_pass_is_under_way(dataset, pretended_streams, monkeypatch, cls, scaled):
    """Not before the step, which nothing would hide, and before the scaler asks the device for what it found."""
    log = pretended_streams
    trainer = dataset.trainer(cls, seg=RANDOM_START)
    trainer.on_train_start()
    batch = next(trainer.dataloader_train)
    trainer.grad_scaler = torch.amp.GradScaler("cpu") if scaled else None
    loader = DeviceLoader(numbered(), ComposeTransforms([]), CUDA)
    monkeypatch.setattr(trainer, "dataloader_train", loader)
    backward, step = torch.Tensor.backward, trainer.optimizer.step
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: (log.append("backward"), backward(loss))[1])
    monkeypatch.setattr(trainer.optimizer, "step", lambda *a, **k: (log.append("step"), step(*a, **k))[1])
    trainer.train_step(batch)
    assert log == ["backward", *(line.format(0) for line in MADE), "step"]
    log.clear()
    assert next(loader)["keys"] == 0 and log == HANDED_OVER
