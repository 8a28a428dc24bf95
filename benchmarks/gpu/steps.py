"""Both steps of every preset in three precisions, compiled or not, and the augmentation both ways."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from benchmarks.datasets import LARGE, SMALL
from benchmarks.gpu.runner import Figures, Place
from benchmarks.measure import seconds
from benchmarks.memory import MIB
from benchmarks.plans import Plan, make_plan, own_plan, small_preset_plans
from benchmarks.precision import DTYPES, autocast_to
from benchmarks.trainers import CANDIDATES, make_batch, make_trainer
from nnunetv2_lwi.networks.memory import memory_of
from nnunetv2_lwi.planning.presets import NO_PRESET, list_presets
from nnunetv2_lwi.training.loading.augmentation_trial import Trial, make_both_ways
from nnunetv2_lwi.training.loading.device_loader import loader_within
from nnunetv2_lwi.training.loading.device_transforms import split

WARM_UPS, STEPS = 2, 3
WORKERS = (1, 4, 8)


def augmentation(place: Place) -> Iterator[Figures]:
    """The trial that ``augmentation_device: auto`` decides by; that the batches agree is part of it."""
    for dataset in (SMALL, LARGE) if place.has_gpu else (SMALL,):
        plan = own_plan(dataset)
        for name, cls in CANDIDATES.items():
            trainer = make_trainer(cls, plan, place.torch_device)
            with patch.dict(os.environ, nnUNet_n_proc_DA="0"), patch.object(cls, "may_augment_on_device", False):
                loader = loader_within(trainer.get_dataloaders()[0])
            with trainer.left_as_it_is():
                trial = make_both_ways(loader, split(loader.transforms), place.torch_device).timed(
                    trainer.try_step, WORKERS[0]
                )
            times = {f"{part} ms": 1000 * getattr(trial, part) for part in ("in_worker", "cut", "on_device", "step")}
            gains = {f"gain {n} workers": gain_with(trial, n) for n in WORKERS}
            yield {"plan": str(plan), "trainer": name, **times, **gains}


def gain_with(trial: Trial, workers: int) -> float:
    """Iterations a second over those of the workers alone, for another number of them."""
    other = replace(trial, workers=workers)
    return other.with_device / other.with_workers


def steps_of_small_presets(place: Place) -> Iterator[Figures]:
    """And of nnU-Net's own plan, on a GPU with a patch of 128 cubed."""
    yield from _steps_of([own_plan(LARGE if place.has_gpu else SMALL), *small_preset_plans(place.torch_device)], place)


def steps_of_all_presets(place: Place) -> Iterator[Figures]:
    """Those that are not small, at their own patch."""
    names = [preset.name for preset in list_presets() if preset is not NO_PRESET and not preset.name.endswith("_small")]
    yield from _steps_of((make_plan(name, SMALL, {}) for name in names), place)


def compiled(place: Place) -> Iterator[Figures]:
    """nnU-Net's own plan."""
    with patch.dict(os.environ, nnUNet_compile="t"):
        yield from _steps_of([own_plan(LARGE)], place, ("fp16",))


def compiled_presets(place: Place) -> Iterator[Figures]:
    """The small ones."""
    with patch.dict(os.environ, nnUNet_compile="t"):
        yield from _steps_of(small_preset_plans(place.torch_device), place, ("fp16",))


def _steps_of(plans: Iterable[Plan], place: Place, precisions: Iterable[str] = tuple(DTYPES)) -> Iterator[Figures]:
    device = place.torch_device
    for plan in plans:
        for name, cls in CANDIDATES.items():
            for precision in precisions if place.has_gpu else ("off",):
                with autocast_to(DTYPES[precision], device):
                    yield {"plan": str(plan), "trainer": name, "precision": precision, **_a_few_steps(cls, plan, device)}


def _a_few_steps(cls: type, plan: Plan, device: torch.device) -> Figures:
    """Time, losses and, on a GPU, the peak of memory beside its estimate.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    gc.collect()  # a trainer refers to itself, so that the one before is still there
    held = torch.cuda.memory_allocated() if device.type == "cuda" else 0
    trainer = make_trainer(cls, plan, device)
    batch = make_batch(trainer)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    losses = [trainer.train_step(dict(batch))["loss"] for _ in range(WARM_UPS)]
    first = [float(loss) for loss in losses]
    warm_up = time.perf_counter() - started
    a_step = seconds(lambda: losses.append(trainer.train_step(dict(batch))["loss"]), STEPS) / STEPS
    values = [*first, *(float(loss) for loss in losses[WARM_UPS:])]
    if not all(abs(value) < float("inf") for value in values):
        raise FloatingPointError(f"{cls.__name__} on {plan}: losses {values}")
    figures = {"ms": 1000 * a_step, "warm-up s": warm_up, "loss": values[-1]}
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated() - held
        figures |= {"peak MiB": peak / MIB, "estimate MiB": _estimate(trainer, plan)}
    return figures


def _estimate(trainer: Any, plan: Plan) -> float:
    configuration = ConfigurationManager(plan.resolved)
    memory = memory_of(trainer.unwrapped_network, trainer.num_input_channels, configuration.patch_size)
    return memory.needed(configuration.batch_size, trainer.training_settings.optimizer, mixed_precision=True) / MIB
