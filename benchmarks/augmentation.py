"""nnU-Net's training transforms on a batch: in a worker of its loader, and in their device forms on the device."""

from __future__ import annotations

from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.datasets import LARGE, SMALL
from benchmarks.loading import CALLS, one_thread, training_loader
from benchmarks.measure import Comparison, Findings, compare
from benchmarks.plans import Plan, own_plan
from benchmarks.trainers import make_trainer
from nnunetv2_lwi.training.loading.augmentation import without_benchmarks
from nnunetv2_lwi.training.loading.device_loader import augment
from nnunetv2_lwi.training.loading.device_transforms import on_device


def compare_augmentation(device: torch.device) -> Findings:
    """The CPU has one thread, as a worker; on the CPU the device forms run there too."""
    with one_thread():
        return Findings([compare_augmentation_on(own_plan(dataset), device) for dataset in (SMALL, LARGE)])


def compare_augmentation_on(plan: Plan, device: torch.device) -> Comparison:
    """Time of a batch, patches cut before; its copy to the device is part of what the device does."""
    trainer = make_trainer(nnUNetTrainer, plan, torch.device("cpu"))
    trainer.get_training_transforms = without_benchmarks(trainer.get_training_transforms)
    loader = training_loader(trainer)
    in_worker, loader.transforms = loader.transforms, None
    patches = next(loader)
    forms = on_device(in_worker, [-1, *trainer.label_manager.all_labels])
    cpu = torch.device("cpu")

    def fresh() -> dict[str, Any]:
        return patches | {name: patches[name].clone() for name in ("data", "target")}

    candidate = (f"device forms on {device.type}", lambda: augment(fresh(), forms, device))
    baseline = ("in a worker", lambda: augment(fresh(), in_worker, cpu))
    return compare(f"augmentation of a batch, {plan}", candidate, baseline, device, calls=CALLS)
