"""A finished step 1, as its checkpoint tells of it, and whether it may start a given training."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.handover.checkpoint import LWI_KEY, lacking_keys, read_checkpoint, require_format
from nnunetv2_lwi.handover.digest import Digest, differing_keys
from nnunetv2_lwi.names import STEP1_TRAINER

PROVENANCE = ("dataset_name", "plans_name", "configuration", "fold", "cases", "versions")
"""What a step 1 says of where it comes from."""


@dataclass(frozen=True)
class Step1:
    """A finished step 1, read from its checkpoint."""

    path: Path
    weights: dict[str, Tensor]
    """What the stock ``-pretrained_weights`` hands over: parts that the plan keeps back are as drawn."""
    digest: Digest
    provenance: dict[str, Any]
    """data set, plans, configuration, fold, cases (identifiers) and versions."""
    untrained: list[str]
    """Keys of ``weights`` that step 1 did not train at all."""
    kept_back: dict[str, Tensor] = field(default_factory=dict)
    """What step 1 trained of the parts that ``weights`` has as drawn."""

    @property
    def trained(self) -> dict[str, Tensor]:
        """Every weight as step 1 left it."""
        return {**self.weights, **self.kept_back}

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        p = self.provenance
        return f"{p['dataset_name']}, plans {p['plans_name']}, configuration {p['configuration']}, fold {p['fold']}"


@dataclass
class Verdict:
    """Whether a step 1 fits: refusals say what differs, warnings what to know."""

    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def raise_if_refused(self, step1: Step1) -> None:
        """Raises:
        UserError: the step 1 does not fit.
        """
        if self.refusals:
            raise UserError(f"{step1.path} cannot start this training: {'; '.join(self.refusals)}.")


def read_step1(path: str | os.PathLike[str]) -> Step1:
    """Read a step 1 checkpoint.

    Raises:
        UserError: it cannot be read, or is not the checkpoint of a step 1.
    """
    step1 = find_step1(path)
    if step1 is None:
        raise UserError(
            f"{path} is not the checkpoint of a step 1 but of trainer {read_checkpoint(path).get('trainer_name')}. Give the "
            f"checkpoint_final.pth of a training with -tr {STEP1_TRAINER}."
        )
    return step1


def find_step1(path: str | os.PathLike[str]) -> Step1 | None:
    """The step 1 that a checkpoint holds; None if it is another trainer's.

    Raises:
        UserError: it cannot be read, or is damaged.
    """
    checkpoint = read_checkpoint(path)
    ours = checkpoint.get(LWI_KEY)
    if checkpoint.get("trainer_name") != STEP1_TRAINER or not isinstance(ours, Mapping):
        return None
    require_format(path, ours)
    lacking = lacking_keys(ours, {"digest": (), "provenance": PROVENANCE})
    if lacking:
        raise UserError(f"{path} is damaged: its {LWI_KEY} holds no {', '.join(lacking)}. Use another one, or train again.")
    return Step1(
        Path(path),
        checkpoint["network_weights"],
        ours["digest"],
        ours["provenance"],
        list(ours.get("untrained", [])),
        dict(ours.get("kept_back", {})),
    )


def judge(step1: Step1, digest: Digest, train_cases: Iterable[str], val_cases: Iterable[str], dataset_name: str) -> Verdict:
    """Compare a step 1 with the training that it is to start.

    A step 1 with other architecture, channels, patch, spacing or settings is refused by the names of what differs. One
    that saw images of cases which are only validated here gets a warning: the figures for those cases are not those of
    unseen images, though the labels were not seen.
    """
    verdict = Verdict(refusals=differing_keys(step1.digest, digest))
    if step1.provenance["dataset_name"] == dataset_name:
        seen = sorted(set(step1.provenance["cases"]) & (set(val_cases) - set(train_cases)))
        if seen:
            verdict.warnings.append(
                f"step 1 saw the images (not the labels) of {len(seen)} of this fold's validation cases: {shortened(seen)}"
            )
    return verdict
