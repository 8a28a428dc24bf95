"""The checks, the most telling first: what is left out for lack of time matters least."""

from __future__ import annotations

from benchmarks.gpu import distributed, files, speed, steps, whole
from benchmarks.gpu.runner import Check

CHECKS = (
    Check("environment", whole.environment, 5, on_cpu=True),
    Check("augmentation", steps.augmentation, 30, on_cpu=True),
    Check("steps", steps.steps_of_small_presets, 40, on_cpu=True),
    Check("checkpoint", files.checkpoint, 5, on_cpu=True),
    Check("other_device", files.other_device, 10, on_cpu=True),
    Check("iteration", speed.iteration, 25),
    Check("memory", speed.memory, 15),
    Check("loops4", speed.loops_with_4_workers, 90),
    Check("loops1", speed.loops_with_1_worker, 100),
    Check("loops8", speed.loops_with_8_workers, 90),
    Check("idle", speed.idle, 30),
    Check("compiled", steps.compiled, 60),
    Check("one_rank", distributed.one_rank, 15),
    Check("demo", whole.demo, 120),
    Check("presets", steps.steps_of_all_presets, 60),
    Check("compiled_presets", steps.compiled_presets, 120),
    Check("dataset", speed.own_dataset, 90),
)
