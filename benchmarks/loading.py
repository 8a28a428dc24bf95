"""What a batch costs a worker of nnU-Net's loader: with nnU-Net's augmentation, and reading, cropping and padding only.

The difference is what the workers are spared where the augmentation runs on the device.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any
from unittest.mock import patch

import torch
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.datasets import LARGE, SMALL
from benchmarks.measure import Comparison, Findings, compare
from benchmarks.plans import Plan, own_plan
from benchmarks.trainers import make_trainer

CALLS = 10
"""Batches a round: which transforms are applied to a sample is left to chance."""


def compare_loading(device: torch.device) -> Findings:
    """On the CPU whatever the device, in this process, one thread, as in one worker."""
    with one_thread():
        return Findings([compare_loading_on(own_plan(dataset)) for dataset in (SMALL, LARGE)])


def compare_loading_on(plan: Plan) -> Comparison:
    """Time of a batch with and without nnU-Net's transforms; both crop what the transforms need, more than a patch."""
    augmented = training_loader(make_trainer(nnUNetTrainer, plan, torch.device("cpu")))
    plain = copy(augmented)
    plain.transforms = None
    candidate = ("with transforms", lambda: next(augmented))
    baseline = ("read, crop and pad only", lambda: next(plain))
    return compare(f"batch of nnU-Net's loader, one process, {plan}", candidate, baseline, calls=CALLS)


def training_loader(trainer: Any) -> nnUNetDataLoader:
    """The loader of training batches, without worker processes."""
    with patch.dict(os.environ, nnUNet_n_proc_DA="0"):
        training, _ = trainer.get_dataloaders()
    return training.data_loader


@contextmanager
def one_thread() -> Iterator[None]:
    """nnU-Net's workers have one thread each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
