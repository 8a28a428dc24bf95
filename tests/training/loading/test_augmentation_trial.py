"""The device has to earn the augmentation: equal batches, more iterations; whatever goes wrong leaves it to the workers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from hypothesis import given
from hypothesis import strategies as st
from torch import distributed as dist

from nnunetv2_lwi.training import loaded
from nnunetv2_lwi.training.loading import augmentation_trial
from nnunetv2_lwi.training.loading.augmentation import drawn_as_beside
from nnunetv2_lwi.training.loading.augmentation_trial import Disagreement, Trial, make_both_ways, require_same
from nnunetv2_lwi.training.loading.device_loader import DeviceLoader
from nnunetv2_lwi.training.loading.device_transforms import NoiseOnDevice, split
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import TinyDataset

TRAINERS = pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("trial", "faster"),
    [
        (Trial(in_worker=0.4, cut=0.1, on_device=0.02, step=0.1, workers=4), False),  # four workers feed the network
        (Trial(in_worker=0.8, cut=0.1, on_device=0.02, step=0.1, workers=4), True),  # they do not
        (Trial(in_worker=0.8, cut=0.8, on_device=0.02, step=0.1, workers=4), False),  # it is reading that takes the time
        (Trial(in_worker=0.8, cut=0.1, on_device=0.2, step=0.1, workers=4), False),  # the device is no faster than they
        (Trial(in_worker=0.42, cut=0.1, on_device=0.003, step=0.1, workers=4), False),  # hardly
        (Trial(in_worker=0.4, cut=0.1, on_device=0.02, step=0.1, workers=0), True),  # one after the other
    ],
)
def test_the_device_is_taken_where_workers_starve_the_network(trial, faster):
    assert trial.is_faster == faster


@given(*[st.floats(1e-3, 10)] * 4, st.integers(0, 64))
def test_it_is_never_taken_where_the_step_alone_takes_the_time(in_worker, cut, on_device, step, workers):
    trial = Trial(in_worker, cut, on_device, step, workers)
    if workers and in_worker / workers <= step:
        assert not trial.is_faster
    if trial.is_faster:
        assert trial.with_device > trial.with_workers


def sample(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 1, 8, 8, 8, generator=generator), torch.ones(1, 1, 8, 8, 8, dtype=torch.int16)]


def test_equal_samples_agree_and_noise_of_another_generator_does_not_matter():
    image, labels = sample()
    require_same([image, labels], [image + 0.01 * sample(1)[0], labels.clone()])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda image, labels: [image[..., :4], labels], "in the place of"),
        (lambda image, labels: [image.double(), labels], "float64"),
        (lambda image, labels: [image, labels.long()], "int64"),
        (lambda image, labels: [image + 0.2, labels], "a mean of"),
        (lambda image, labels: [image * 1.2, labels], "a deviation of"),
        (lambda image, labels: [image / 0, labels], "not finite"),
        (lambda image, labels: [image, labels * 2], "other labels in 100.0% of the voxels"),
        (lambda image, labels: [image, torch.where(torch.arange(8) < 1, 0, labels).to(labels.dtype)], "12.5%"),
    ],
)
def test_what_differs_is_said(spoil, words):
    theirs = sample()
    with pytest.raises(Disagreement, match=words):
        require_same(spoil(*(tensor.clone() for tensor in theirs)), theirs)


@TRAINERS
def test_both_ways_make_the_same_of_the_same_samples(dataset, cls):
    trainer = dataset.trainer(cls, seg={"start": "random"})
    trainer.initialize()
    loader, _ = trainer.get_dataloaders()
    inner, before = loader.data_loader, loader.data_loader.transforms
    steps = []
    trial = make_both_ways(inner, split(before), CPU).timed(steps.append, workers=3)
    assert trial.workers == 3 and min(trial.in_worker, trial.cut, trial.on_device) > 0
    assert trial.in_worker > trial.cut and inner.transforms is before
    assert len(steps) == 1 + augmentation_trial.STEPS and steps[0]["data"].shape == (2, 1, 8, 16, 16)


def disagreements(loader, transforms, shared):
    """Of how many of 25 batches the device makes something else."""
    disagreeing = 0
    for seed in range(25):
        np.random.seed(seed)
        try:
            augmentation_trial._both_ways(loader, transforms, shared, CPU)
        except Disagreement:
            disagreeing += 1
    return disagreeing


@TRAINERS
def test_noise_that_a_gpu_draws_does_not_set_the_other_draws_apart(dataset, monkeypatch, cls):
    """It moves the GPU's generator and leaves the host's, from which all that comes after the noise is drawn."""
    original = NoiseOnDevice._apply_to_image

    def by_another_generator(self, image, **params):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            return original(self, image, **params)

    monkeypatch.setattr(NoiseOnDevice, "_apply_to_image", by_another_generator)
    trainer = dataset.trainer(cls, seg={"start": "random"})
    trainer.initialize()
    loader = trainer.get_dataloaders()[0].data_loader
    whole, loader.transforms = loader.transforms, None
    for transform in whole.transforms:
        if isinstance(getattr(transform, "transform", None), GaussianNoiseTransform):
            transform.apply_probability = 1.0
    shared = split(whole)
    assert disagreements(loader, drawn_as_beside(torch.device("cuda"), whole), shared) == 0
    assert disagreements(loader, drawn_as_beside(CPU, whole), shared) > 0


@pytest.fixture
def trying(dataset, monkeypatch):
    """A trainer that may augment on its device, the CPU."""

    def make(cls, **lwi):
        monkeypatch.setattr(cls, "may_augment_on_device", True)
        return dataset.trainer(cls, seg={"start": "random", "epochs": 2}, **lwi)

    return make


def log_of(trainer) -> str:
    return Path(trainer.log_file).read_text()


@TRAINERS
@pytest.mark.parametrize("faster", [False, True])
def test_a_trial_changes_nothing_that_the_training_goes_on_from(dataset, trying, monkeypatch, cls, faster):
    """Neither weights, nor buffers, nor what is drawn; where the workers stay, nor a single batch."""
    monkeypatch.setattr(Trial, "is_faster", faster)
    plain = dataset.trainer(cls, seg={"start": "random", "epochs": 2})
    trained = []
    for trainer in (plain, trying(cls)):
        trainer.on_train_start()
        weights = {key: value.clone() for key, value in trainer.unwrapped_network.state_dict().items()}
        assert all(parameter.grad is None for parameter in trainer.network.parameters())
        trained.append((weights, np.random.rand(), torch.rand(1).item(), next(trainer.dataloader_train)))
        trainer.writer.release()
    (weights, numpys, torchs, batch), (also, numpys_too, torchs_too, batch_too) = trained
    assert all(torch.equal(weights[key], also[key]) for key in weights)
    assert (numpys, torchs) == (numpys_too, torchs_too)
    assert isinstance(trainer.dataloader_train, DeviceLoader) == faster
    if not faster:
        assert torch.equal(batch["data"], batch_too["data"])
        assert "Augmentation runs in the loader's workers, as nnU-Net's: " in log_of(trainer)
        assert "iterations/s with it" in log_of(trainer)


@TRAINERS
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            RuntimeError("CUDA error: no kernel image\nis available"),
            "RuntimeError: CUDA error: no kernel image is available",
        ),
        (torch.OutOfMemoryError("CUDA out of memory"), "OutOfMemoryError: CUDA out of memory"),
        (Disagreement("a mean of 1 in the place of 2"), "as nnU-Net's: a mean of 1 in the place of 2."),
    ],
)
def test_whatever_goes_wrong_leaves_it_to_the_workers(trying, monkeypatch, cls, error, words):
    def fail(*args):
        raise error

    monkeypatch.setattr(augmentation_trial, "augment", fail)
    trainer = trying(cls)
    trainer.run_training()
    assert trainer.current_epoch == 2
    assert words in log_of(trainer) and "Augmentation runs in the loader's workers" in log_of(trainer)


def test_one_rank_that_it_does_not_pay_for_decides_for_all(trying, monkeypatch):
    monkeypatch.setattr(Trial, "is_faster", True)
    monkeypatch.setattr(loaded, "all_agree", lambda fine: False)
    trainer = trying(nnUNetTrainerLWIInit)
    trainer.on_train_start()
    assert not isinstance(trainer.dataloader_train, DeviceLoader)


def tried_by_a_rank(rank: int, folder: str, dataset: TinyDataset) -> None:
    """What the second rank makes differs; the loss of both gathers from all ranks (batch Dice)."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=timedelta(minutes=2)
    )
    nnUNetTrainerLWISeg.may_augment_on_device = True
    Trial.is_faster = True
    if rank == 1:
        augmentation_trial.augment = disagree
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"start": "random", "epochs": 1})
    trainer.on_train_start()
    loss = trainer.train_step(next(trainer.dataloader_train))["loss"]
    torch.save((isinstance(trainer.dataloader_train, DeviceLoader), float(loss)), f"{folder}/{rank}.pth")
    dist.barrier()
    dist.destroy_process_group()


def disagree(*_: Any) -> None:
    raise Disagreement("a mean of 1 in the place of 2")


def test_a_rank_that_makes_other_batches_keeps_all_from_the_timed_steps(make_dataset, tmp_path, monkeypatch):
    """In them ranks wait for each other: one that left them would take what it gathers next for the others' losses."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    dataset = make_dataset()
    dataset.plans["configurations"]["3d_fullres"]["batch_dice"] = True
    mp.spawn(tried_by_a_rank, args=(str(tmp_path), dataset), nprocs=2, join=True)
    outcomes = [torch.load(tmp_path / f"{rank}.pth", weights_only=True) for rank in range(2)]
    assert [augments_on_device for augments_on_device, _ in outcomes] == [False, False]
    assert all(np.isfinite(loss) for _, loss in outcomes)


def test_workers_count_as_far_as_there_are_cores_for_them(trying, monkeypatch):
    trainer = trying(nnUNetTrainerLWIInit)
    monkeypatch.setattr(loaded, "cores", lambda: 8)
    monkeypatch.setattr(loaded, "processes_here", lambda: 2)
    for asked, expected in ((12, 4), (3, 3), (0, 0)):
        monkeypatch.setattr(loaded, "get_allowed_n_proc_DA", lambda asked=asked: asked)
        assert trainer._workers_side_by_side() == expected
