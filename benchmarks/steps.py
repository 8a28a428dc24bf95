"""One training iteration of step 1 and of step 2 against nnUNetTrainer's, on the same plan and batch."""

from __future__ import annotations

import multiprocessing
import resource
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.measure import Comparison, Spread, compare
from nnunetv2_lwi.cli.commands import nnunet_environment, stock_command
from nnunetv2_lwi.phantom import write_phantom
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg

DATASET_ID, DATASET = 902, "Dataset902_Benchmark"
TRAINERS = {"nnUNetTrainer": nnUNetTrainer, "LWIInit": nnUNetTrainerLWIInit, "LWISeg": nnUNetTrainerLWISeg}
GOALS = {"LWIInit": 1.0, "LWISeg": None}
MEMORY_STEPS = 3


def prepare(folders: dict[str, Path]) -> None:
    """Generate a data set and let nnU-Net plan and preprocess it."""
    if (folders["nnUNet_preprocessed"] / DATASET / "nnUNetPlans_3d_fullres").is_dir():
        return
    write_phantom(folders["nnUNet_raw"] / DATASET, cases=6, test_cases=0)
    command = stock_command("nnUNetv2_plan_and_preprocess", "-d", str(DATASET_ID), "-c", "3d_fullres", "-np", "2")
    subprocess.run(command, env=nnunet_environment(**folders), check=True, stdout=subprocess.DEVNULL)


def make_trainer(name: str, device: torch.device) -> Any:
    """A trainer on nnU-Net's own plan for the data set, ready to step."""
    from nnunetv2.paths import nnUNet_preprocessed

    folder = Path(str(nnUNet_preprocessed)) / DATASET
    plans = load_json(str(folder / "nnUNetPlans.json"))
    plans["configurations"]["3d_fullres"]["lwi"] = {"seg": {"start": "random"}, "seed": 0}
    plans["continue_training"] = False
    trainer = TRAINERS[name](deepcopy(plans), "3d_fullres", 0, load_json(str(folder / "dataset.json")), device)
    trainer.initialize()
    trainer.network.train()
    return trainer


def make_batch(trainer: Any) -> dict[str, Any]:
    """A batch as the loader gives it: image and, at every scale of deep supervision, target."""
    samples, patch = trainer.batch_size, trainer.configuration_manager.patch_size
    scales = trainer._get_deep_supervision_scales() or [[1, 1, 1]]
    shapes = [[round(edge * factor) for edge, factor in zip(patch, scale, strict=True)] for scale in scales]
    targets = [torch.randint(0, 3, (samples, 1, *shape), dtype=torch.int16) for shape in shapes]
    return {"data": torch.randn(samples, 1, *patch), "target": targets}


def compare_steps(device: torch.device) -> list[Comparison]:
    """Time of an iteration, the batch being there already."""
    trainers = {name: make_trainer(name, device) for name in TRAINERS}
    batches = {name: make_batch(trainer) for name, trainer in trainers.items()}
    steps = {name: (name, lambda t=trainer, b=batches[name]: t.train_step(b)) for name, trainer in trainers.items()}
    patch = "x".join(map(str, trainers["LWIInit"].configuration_manager.patch_size))
    title = f"iteration, PlainConvUNet, {trainers['LWIInit'].batch_size} x {patch}"
    return [
        compare(title, steps[name], steps["nnUNetTrainer"], device, repeats=5, goal=goal) for name, goal in GOALS.items()
    ]


def compare_memory(device: torch.device) -> list[Comparison]:
    """Peak memory of a few iterations, each trainer in a process of its own."""
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for name in TRAINERS:
        with context.Pool(1) as pool:
            peaks[name] = Spread.of([pool.apply(_peak_memory, (name, str(device)))])
    results = []
    for name, goal in GOALS.items():
        ratio = Spread.of([peaks[name].median / peaks["nnUNetTrainer"].median])
        costs = (peaks[name], peaks["nnUNetTrainer"])
        results.append(Comparison("peak memory of an iteration", name, "nnUNetTrainer", "MiB", *costs, ratio, goal))
    return results


def _peak_memory(name: str, device_name: str) -> float:
    """MiB over what the process held before there was a trainer."""
    device = torch.device(device_name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    trainer = make_trainer(name, device)
    batch = make_batch(trainer)
    for _ in range(MEMORY_STEPS):
        trainer.train_step(batch)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
