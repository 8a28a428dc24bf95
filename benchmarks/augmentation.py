"""nnU-Net's training transforms on a batch: in a worker of its loader, and as they are shared out with the device."""

from __future__ import annotations

from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.datasets import LARGE, SMALL
from benchmarks.loading import CALLS, one_thread, training_loader
from benchmarks.measure import Comparison, Findings, compare
from benchmarks.plans import Plan, own_plan
from benchmarks.trainers import make_trainer
from nnunetv2_lwi.training.loading.augmentation import decided
from nnunetv2_lwi.training.loading.cut import SampleBySample
from nnunetv2_lwi.training.loading.device_loader import augment
from nnunetv2_lwi.training.loading.device_transforms import split


def compare_augmentation(device: torch.device) -> Findings:
    """The CPU has one thread, as a worker; on the CPU the device forms run there too."""
    with one_thread():
        return Findings([compare_augmentation_on(own_plan(dataset), device) for dataset in (SMALL, LARGE)])


def compare_augmentation_on(plan: Plan, device: torch.device) -> Comparison:
    """Time of a batch that was read before; its copy to the device is part of what the device does."""
    trainer = make_trainer(nnUNetTrainer, plan, torch.device("cpu"))
    loader = training_loader(trainer)
    whole, loader.transforms = decided(loader.transforms), None
    patches = next(loader)
    shared = split(whole)

    def fresh() -> dict[str, Any]:
        return patches | {name: patches[name].clone() for name in ("data", "target")}

    def shared_out() -> object:
        return augment(SampleBySample(shared.in_worker)(**fresh())["samples"], shared.on_device, device)

    candidate = (f"cut in a worker, the rest on {device.type}", shared_out)
    baseline = ("in a worker", lambda: SampleBySample(whole)(**fresh()))
    return compare(f"augmentation of a batch, {plan}", candidate, baseline, calls=CALLS)
