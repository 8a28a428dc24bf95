from __future__ import annotations

from copy import copy

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.loading import compare_loading_on, one_thread, training_loader
from benchmarks.plans import own_plan
from benchmarks.trainers import make_trainer
from tests.benchmarks.conftest import CPU


def test_the_loader_is_nnunets_with_its_augmentation(phantom):
    trainer = make_trainer(nnUNetTrainer, own_plan(phantom), CPU)
    loader = training_loader(trainer)
    batch = next(loader)
    assert batch["data"].shape[2:] == (8, 16, 16)
    assert isinstance(batch["target"], list)
    plain = copy(loader)
    plain.transforms = None
    assert next(plain)["data"].shape[2:] == tuple(loader.patch_size) != (8, 16, 16)


def test_augmentation_costs_time(phantom):
    comparison = compare_loading_on(own_plan(phantom))
    assert comparison.ratio.median > 1
    assert comparison.name == "batch of nnU-Net's loader, one process, PlainConvUNet, 2 x 8x16x16"


def test_a_worker_has_one_thread():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
