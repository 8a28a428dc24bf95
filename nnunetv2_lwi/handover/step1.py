"""A finished step 1, as its checkpoint tells of it, and whether it may start a given training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from nnunetv2_lwi.errors import DoesNotFit, UserError, shortened
from nnunetv2_lwi.handover.checkpoint import LWI_KEY, lacking_keys, read_checkpoint, require_format
from nnunetv2_lwi.handover.digest import Digest, differing_keys
from nnunetv2_lwi.handover.record import GONE_SCANS, TEST_SCANS, Record, differences, read_plain, read_scans
from nnunetv2_lwi.names import STEP1_TRAINER
from nnunetv2_lwi.nnunet.contents import shared

NORMALIZATION = ("normalization_schemes", "use_mask_for_norm")
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
    record: Record | None = None
    """Which run it was; earlier versions did not say."""

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
        DoesNotFit: it does not.
        """
        if self.refusals:
            raise DoesNotFit(f"{step1.path} cannot start this training: {'; '.join(self.refusals)}.")


def read_step1(path: str | os.PathLike[str]) -> Step1:
    """Read a step 1 checkpoint.

    Raises:
        UserError: it cannot be read, or is not the checkpoint of a step 1.
    """
    return require_step1(path, read_checkpoint(path))


def require_step1(path: str | os.PathLike[str], checkpoint: Mapping[str, Any]) -> Step1:
    """The step 1 that a checkpoint holds which was read.

    Raises:
        UserError: it holds none, or is damaged.
    """
    step1 = step1_in(path, checkpoint)
    if step1 is None:
        raise UserError(
            f"{path} is not the checkpoint of a step 1 but of trainer {checkpoint.get('trainer_name')}. Give the "
            f"checkpoint_final.pth of a training with -tr {STEP1_TRAINER}."
        )
    return step1


def find_step1(path: str | os.PathLike[str]) -> Step1 | None:
    """The step 1 that a checkpoint holds; None if it is another trainer's.

    Raises:
        UserError: it cannot be read, or is damaged.
    """
    return step1_in(path, read_checkpoint(path))


def step1_in(path: str | os.PathLike[str], checkpoint: Mapping[str, Any]) -> Step1 | None:
    """The step 1 that a checkpoint holds which was read; None if it is another trainer's.

    Raises:
        UserError: it is damaged.
    """
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
        ours.get("run"),
    )


def judge(step1: Step1, digest: Digest, here: Record) -> Verdict:
    """Compare a step 1 with the training that it is to start.

    A step 1 with other architecture, channels, patch, spacing or settings, or on images normalised in another way, is
    refused by the names of what differs. One that saw images of cases which are only validated here gets a warning: the
    figures for those cases are not those of unseen images, though the labels were not seen. Images are told by what they
    show, in another data set too.
    """
    verdict = Verdict(refusals=differing_keys(step1.digest, digest) + _other_normalization(step1, here))
    verdict.warnings += _seen(step1, here) + _seen_of_the_test(step1, here) + _another_run(step1, here)
    return verdict


def _other_normalization(step1: Step1, here: Record) -> list[str]:
    """Intensities, which nnU-Net takes from the data, differ between data sets and do not count."""
    if step1.record is None:
        return []
    theirs, ours = ({key: record["plan"].get(key) for key in NORMALIZATION} for record in (step1.record, here))
    return differing_keys(theirs, ours)


def _seen(step1: Step1, here: Record) -> list[str]:
    only_validated = set(here["val"]) - set(here["train"])
    if step1.provenance["dataset_name"] == here["dataset"]:
        seen = sorted(set(step1.provenance["cases"]) & only_validated)
        seen += _seen_by_content(step1, here, only_validated - set(seen))
    else:
        seen = _seen_in_another(step1, here, only_validated)
    seen += _seen_without_labels(step1, here, only_validated - set(seen))
    if not seen:
        return []
    return [f"step 1 saw the images (not the labels) of {len(seen)} of this fold's validation cases: {shortened(seen)}"]


def _seen_of_the_test(step1: Step1, here: Record) -> list[str]:
    """Scans without labels that were found to show test images, perhaps after step 1 had drawn from them."""
    tests: Mapping[str, str] = here.get(TEST_SCANS, {})
    labelled = {*here["train"], *here["val"]}  # of a step 1 on scans alone its cases are the scans
    scans = {} if step1.record is None else read_scans(step1.record)
    seen = sorted({*scans, *(set(step1.provenance["cases"]) - labelled)} & tests.keys())
    if not seen or step1.provenance["dataset_name"] != here["dataset"]:
        return []
    told = shortened([f"{tests[scan]} (scan {scan})" for scan in seen])
    return [f"step 1 saw the images (not the labels) of {len(seen)} test cases: {told}"]


def _seen_in_another(step1: Step1, here: Record, only_validated: set[str]) -> list[str]:
    """By content; of an earlier version's step 1 only the names are known, and others may number their cases alike."""
    other = step1.provenance["dataset_name"]
    if step1.record is None:
        alike = sorted(set(step1.provenance["cases"]) & only_validated)
        return [f"{case} (if {case} of {other} is the same)" for case in alike]
    return _seen_by_content(step1, here, only_validated)


def _seen_by_content(step1: Step1, here: Record, only_validated: set[str]) -> list[str]:
    """Also within one data set: a step 1 on scans without labels alone knows its images by the scans' names."""
    if step1.record is None:
        return []
    other = step1.provenance["dataset_name"]
    theirs = {case: content for case, content in read_plain(step1.record).items() if case in step1.provenance["cases"]}
    ours = {case: content for case, content in read_plain(here).items() if case in only_validated}
    return [f"{case} ({there} of {other})" for case, there in sorted(shared(theirs, ours).items())]


def _seen_without_labels(step1: Step1, here: Record, only_validated: set[str]) -> list[str]:
    """By content, among the scans without labels."""
    theirs = {} if step1.record is None else read_scans(step1.record)
    ours = {case: content for case, content in read_plain(here).items() if case in only_validated}
    return [f"{case} (scan {scan})" for case, scan in sorted(shared(theirs, ours).items())]


def _another_run(step1: Step1, here: Record) -> list[str]:
    """What else differs, within one data set: other cases, say, or images that were preprocessed again since.

    Scans without labels may well be on another machine than the labelled cases: that they are not here is no difference.
    """
    if step1.record is None or step1.record["dataset"] != here["dataset"]:
        return []
    normalization = tuple(f"plan.{key}" for key in NORMALIZATION)
    return [
        f"step 1 was another run than this: {difference}"
        for difference in differences(step1.record, here)
        if not difference.startswith(normalization) and not difference.startswith(GONE_SCANS)
    ]
