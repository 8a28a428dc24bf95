"""From arms, cases, seeds and a budget to the trainings that a comparison consists of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nnunetv2_lwi.comparison.arms import LONGER, RANDOM, Arm
from nnunetv2_lwi.comparison.source import Fingerprint, digest_of_file
from nnunetv2_lwi.comparison.subsets import draw_subset
from nnunetv2_lwi.comparison.sweep import HAND_OVER, LENGTH_OF_STEP1, Variant, describe, of_step2
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.names import STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.planning.overrides import set_values
from nnunetv2_lwi.planning.settings import LWISettings, as_json, leaves_open

STEP1_SHARE = 0.16
"""Of the baseline's epochs: 800 of 5000 in the paper's Table VII."""


@dataclass(frozen=True)
class Training:
    """One training by one of the two trainers, in a folder of its own.

    Attributes:
        configuration: resolved, with its whole ``lwi`` block.
        data: what tells its data apart; see :class:`~nnunetv2_lwi.comparison.source.Fingerprint`.
        after: the step 1 that it starts from.
        scans: of a step 1 that draws from scans without labels: bytes of each, by name.
        weights: what it is given as ``-pretrained_weights``.
    """

    trainer: str
    configuration: dict[str, Any]
    train_cases: list[str]
    val_cases: list[str]
    data: dict[str, Any]
    after: Training | None = None
    weights: Path | None = None
    scans: Mapping[str, int] = field(default_factory=dict)

    @property
    def settings(self) -> LWISettings:
        """The ``lwi`` block."""
        return LWISettings.from_configuration(self.configuration)

    @property
    def is_step1(self) -> bool:
        """Whether it learns the start."""
        return self.trainer == STEP1_TRAINER

    @property
    def iterations(self) -> int:
        """Steps of the optimiser."""
        epochs = self.settings.init.epochs if self.is_step1 else self.settings.seg.epochs
        return epochs * self.settings.iterations_per_epoch

    @cached_property
    def key(self) -> str:
        """A digest of everything that the outcome depends on: equal trainings are run once."""
        lwi = self.settings.step1() if self.is_step1 else self._step2_settings()
        content = {
            "trainer": self.trainer,
            "configuration": {**self.configuration, "lwi": lwi},
            "train": self.train_cases,
            "val": self.val_cases,
            "data": self.data,
            "after": self.after.key if self.after else None,
            "weights": self.weights_digest,
        }
        if self.scans:
            content["scans"] = {"bytes": dict(self.scans), "share": self.settings.init.unlabelled}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @cached_property
    def weights_digest(self) -> str | None:
        """Of the file of weights as it was when the comparison was called."""
        return None if self.weights is None else digest_of_file(self.weights)

    def _step2_settings(self) -> dict[str, Any]:
        """Step 2's own; what step 1 depended on is in its key."""
        block = as_json(self.settings)
        return {key: block[key] for key in ("seg", "iterations_per_epoch", "val_iterations_per_epoch", "seed")}


@dataclass(frozen=True)
class Run:
    """One row of the results: an arm on a number of labelled cases with a seed, and the training that gives it.

    Attributes:
        variant: what was swept, as far as it changes the arm's trainings.
        baseline: label of what it is compared with: the first arm with the same settings of step 2.
        longer: of a run with a step 1, label of the random start that had as many epochs as both steps together.
    """

    arm: str
    cases: int
    seed: int
    variant: Variant
    training: Training
    baseline: str
    longer: str | None = None

    @property
    def label(self) -> str:
        """The arm with what was swept."""
        return label_of(self.arm, self.variant)


@dataclass(frozen=True)
class Design:
    """What is compared.

    Attributes:
        configuration: resolved, from the user's plans; its ``lwi.seg.epochs`` is the baseline's length.
        pool: the fold's training cases.
        val_cases: the fold's, the same for all.
        fingerprint: of the data.
        share: step 1's epochs over the baseline's. None: the paper's share of an equal budget, and what the plan's
            ``lwi.init.epochs`` says where step 1 comes on top.
        scans: without labels, beside the data, with their bytes.
        rest_unlabelled: whether training cases that do not count as labelled are scans without labels too.
    """

    configuration: dict[str, Any]
    pool: list[str]
    val_cases: list[str]
    fingerprint: Fingerprint
    arms: list[Arm]
    counts: list[int]
    seeds: list[int]
    budget: str = "equal"
    share: float | None = None
    variants: list[Variant] = field(default_factory=lambda: [{}])
    scans: Mapping[str, int] = field(default_factory=dict)
    rest_unlabelled: bool = False

    def runs(self) -> list[Run]:
        """Every row once; seeds go slowest, so that a part of the list is a comparison already."""
        unique: dict[str, Run] = {}
        for seed in self.seeds:
            for count in self.counts:
                for variant in self.variants:
                    for arm in self.arms:
                        run = self._run(arm, count, seed, variant)
                        unique.setdefault(f"{run.label} {count} {seed}", run)
        return list(unique.values())

    def _run(self, arm: Arm, count: int, seed: int, variant: Variant) -> Run:
        labelled = draw_subset(self.pool, count, seed)
        longer = self._longer(variant) if arm.runs_step1 else None
        variant = arm.takes(variant)
        configuration = self._configuration(arm, seed, variant)
        after = None
        if arm.runs_step1:
            after = self._step1(arm, configuration, labelled)
        data = self._data(labelled, with_labels=True)
        training = Training(STEP2_TRAINER, configuration, labelled, self.val_cases, data, after, arm.weights)
        return Run(arm.name, count, seed, variant, training, self._baseline(variant), longer)

    def _step1(self, arm: Arm, configuration: dict[str, Any], labelled: list[str]) -> Training:
        all_images = arm.sees_all_images or (arm.sees_scans and self.rest_unlabelled)
        images = sorted(self.pool) if all_images else labelled
        data = self._data(images, with_labels=False)
        scans = self.scans if arm.sees_scans else {}
        return Training(STEP1_TRAINER, configuration, images, self.val_cases, data, scans=scans)

    def _data(self, train_cases: list[str], with_labels: bool) -> dict[str, Any]:
        return self.fingerprint.of([*train_cases, *self.val_cases], with_labels)

    def _baseline(self, variant: Variant) -> str:
        """The first arm with the first of the variants that have the same settings of step 2."""
        first = self.arms[0]
        twin = next(other for other in self.variants if of_step2(other) == of_step2(variant))
        return label_of(first.name, first.takes(twin))

    def _longer(self, variant: Variant) -> str | None:
        """The random start with step 1's epochs, if there is one and it is not the baseline itself."""
        return next((label_of(arm.name, arm.takes(variant)) for arm in self.arms[1:] if arm.name == LONGER), None)

    def _configuration(self, arm: Arm, seed: int, variant: Variant) -> dict[str, Any]:
        """The configuration with the arm's settings; the two steps' epochs share the budget.

        Raises:
            UserError: the settings do not go together, step 1 leaves step 2 no epoch, or an arm is to have step 1's epochs
                on top where all have the same total.
        """
        configuration = deepcopy(self.configuration)
        block = as_json(LWISettings.from_configuration(configuration))
        whole = arm.weights is not None and leaves_open(configuration, HAND_OVER)
        of_weights = {HAND_OVER: "network"} if whole else {}
        set_values(block, {}, {**of_weights, **variant, **arm.settings, "seed": seed})
        if arm.sees_scans:
            self._take_scans(block["init"])
        total = block["seg"]["epochs"]
        step1 = variant.get(LENGTH_OF_STEP1, self._step1_epochs(block["init"]["epochs"], total))
        if arm.has_step1_epochs:
            if self.budget == "equal":
                raise UserError(f"--arms {arm.name}: at --budget equal {RANDOM} has as many epochs already; leave it out.")
            set_values(block, {}, {"seg.epochs": total + step1})
        if arm.runs_step1:
            step2 = total - step1 if self.budget == "equal" else total
            if step2 < 1:
                raise UserError(
                    f"Step 1 would take {step1} of {total} epochs and leave none to step 2: train longer, or less."
                )
            set_values(block, {}, {"init.epochs": step1, "seg.epochs": step2})
        configuration["lwi"] = block
        LWISettings.from_configuration(configuration)
        return configuration

    def _take_scans(self, init: dict[str, Any]) -> None:
        """All that there are, unless a share of them is asked for; the arm's name says so.

        Raises:
            UserError: a share of labelled images is asked for where the rest of the fold, which stands among them, is not.
        """
        if self.rest_unlabelled and init["labelled_share"] is not None:
            raise UserError(
                "--rest-unlabelled: lwi.init.labelled_share would count the rest of the fold as labelled. Set it to null."
            )
        if init["unlabelled"] is False or not self.scans:
            init["unlabelled"] = None

    def _step1_epochs(self, of_the_plan: int, total: int) -> int:
        if self.share is None and self.budget == "added":
            return of_the_plan
        return max(1, round((self.share or STEP1_SHARE) * total))


def label_of(arm: str, variant: Variant) -> str:
    """``lwi masking.ratio=0.2``; the arm alone without a sweep."""
    return " ".join(filter(None, (arm, describe(variant))))


def trainings_of(runs: Sequence[Run]) -> list[Training]:
    """The trainings that the runs need, each once, step 1 before what starts from it."""
    unique: dict[str, Training] = {}
    for run in runs:
        for training in filter(None, (run.training.after, run.training)):
            unique.setdefault(training.key, training)
    return list(unique.values())


def names_of(runs: Sequence[Run]) -> Mapping[str, str]:
    """A name for people by each training's key, after the first run that needs it."""
    names: dict[str, str] = {}
    for run in runs:
        step2 = f"{run.label}, {run.cases} cases, seed {run.seed}"
        if run.training.after is not None:
            of_cases = len(run.training.after.train_cases) + len(run.training.after.scans)
            names.setdefault(run.training.after.key, f"step 1 of {run.label}, {of_cases} cases, seed {run.seed}")
        names.setdefault(run.training.key, f"step 2 of {step2}" if run.training.after else step2)
    return names
