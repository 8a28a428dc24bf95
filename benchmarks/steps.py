"""One training iteration of step 1 and of step 2 against nnUNetTrainer's, on the same plan; the batch is there already."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.measure import Comparison, Findings, time_rounds
from benchmarks.plans import Plan, measured_plans
from benchmarks.trainers import CANDIDATES, make_batch, make_trainer, trainers_for

GOALS = {("PlainConvUNet", "LWIInit"): 1.0}
"""By network and trainer: as fast as nnUNetTrainer, with no more memory."""


def compare_steps(device: torch.device) -> Findings:
    """Time of an iteration, plan by plan."""
    return plan_by_plan(compare_steps_on, device)


def plan_by_plan(compare: Callable[[Plan, torch.device], list[Comparison]], device: torch.device) -> Findings:
    """The same comparison on every plan that is measured."""
    return Findings([comparison for plan in measured_plans(device) for comparison in compare(plan, device)])


def compare_steps_on(plan: Plan, device: torch.device) -> list[Comparison]:
    """Time of an iteration of all three trainers, turn and turn about."""
    steps = {name: make_step(cls, plan, device) for name, cls in trainers_for(plan).items()}
    return against_stock(f"iteration, {plan}", plan, "ms", time_rounds(steps))


def make_step(cls: type, plan: Plan, device: torch.device) -> Callable[[], object]:
    """A function that trains one iteration."""
    trainer = make_trainer(cls, plan, device)
    batch = make_batch(trainer)
    return lambda: trainer.train_step(batch)


def against_stock(name: str, plan: Plan, unit: str, rounds: dict[str, list[float]]) -> list[Comparison]:
    """Our trainers over nnU-Net's, which comes first."""
    stock = next(iter(rounds))
    return [
        Comparison.of(name, trainer, stock, unit, rounds, goal=GOALS.get((plan.network, trainer))) for trainer in CANDIDATES
    ]
