"""Patches too thin for nnU-Net's augmentation, workers' own draws, and no choice by the clock."""

from __future__ import annotations

import pytest
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform, blur_dimension
from batchgeneratorsv2.transforms.utils.random import RandomTransform

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.plan_rules import THINNEST_PATCH, require_augmentable
from nnunetv2_lwi.training.loading.augmentation import OwnDraws
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.networks_for_tests import unet_kwargs


def blurs(trainer) -> list[GaussianBlurTransform]:
    """Those of the loader's training transforms."""
    trainer.initialize()
    trainer.dataloader_train, _ = trainer.get_dataloaders()
    transforms = trainer.dataloader_train.data_loader.transforms.transforms
    inner = [transform.transform if isinstance(transform, RandomTransform) else transform for transform in transforms]
    return [transform for transform in inner if isinstance(transform, GaussianBlurTransform)]


def test_the_thinnest_patch_is_what_the_strongest_blur_needs(dataset):
    (blur,) = blurs(dataset.trainer(nnUNetTrainerLWIInit))
    strongest = blur.blur_sigma[1]
    for axis in range(3):
        shape = [1, 8, 8, 8]
        shape[axis + 1] = THINNEST_PATCH
        assert blur_dimension(torch.ones(shape), strongest, axis).shape == tuple(shape)
        shape[axis + 1] -= 1
        with pytest.raises(RuntimeError):
            blur_dimension(torch.ones(shape), strongest, axis)
    require_augmentable([THINNEST_PATCH] * 3)


@pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])
def test_a_patch_that_is_too_thin_is_told_before_anything_is_written(make_dataset, cls):
    dataset = make_dataset(patch_size=(3, 16, 16), arch_kwargs=unet_kwargs([[1, 1, 1], [1, 2, 2]]))
    with pytest.raises(UserError, match=r"patch_size = \[3, 16, 16\] in the plan is too thin"):
        dataset.trainer(cls)
    assert list(dataset.results.iterdir()) == []


@pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])
def test_with_a_seed_the_blur_does_not_choose_by_the_clock(dataset, cls):
    assert [blur.benchmark for blur in blurs(dataset.trainer(cls))] == [False]
    assert [blur.benchmark for blur in blurs(dataset.trainer(cls, seed=None))] == [True]


class Watched:
    """A loader that tells, in place of a batch, which worker made it, a digest of it, and what torch draws next there."""

    def __init__(self, loader):
        self.loader = loader

    def set_thread_id(self, worker: int) -> None:
        self.worker = worker

    def __next__(self) -> dict[str, float]:
        batch = next(self.loader)["data"]
        return {"worker": self.worker, "batch": batch.sum().item(), "draw": torch.rand(1).item()}


def first_batches(dataset) -> list[dict[str, float]]:
    """The first of each of two workers of step 1's loader, by nnU-Net's own augmenter."""
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.initialize()
    watched = Watched(trainer.get_dataloaders()[0].data_loader)
    augmenter = NonDetMultiThreadedAugmenter(watched, None, num_processes=2, num_cached=6, seeds=None, wait_time=0.002)
    first: dict[float, dict[str, float]] = {}
    try:
        while len(first) < 2:
            told = next(augmenter)
            first.setdefault(told["worker"], told)
    finally:
        augmenter._finish()
    return list(first.values())


def test_every_worker_draws_its_own(dataset):
    one, other = first_batches(dataset)
    assert one["batch"] != other["batch"] and one["draw"] != other["draw"]


def test_without_their_own_draws_the_workers_would_draw_alike(dataset, monkeypatch):
    """nnU-Net's workers inherit torch's generator: the reason for OwnDraws, and the fault that the test above tells."""
    monkeypatch.setattr(OwnDraws, "__call__", lambda self, **data: data)
    one, other = first_batches(dataset)
    assert one["batch"] != other["batch"] and one["draw"] == other["draw"]
