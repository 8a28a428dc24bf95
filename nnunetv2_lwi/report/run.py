"""What is known of a run: of each step its standing, its newest checkpoint without the weights, its files and its log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunetv2_lwi.handover.checkpoint import LWI_KEY, newest_checkpoint, read_checkpoint
from nnunetv2_lwi.jobs.status import STEPS, Standing, read_object, standings
from nnunetv2_lwi.nnunet.inheritance import resolve
from nnunetv2_lwi.report.places import RunPlace

LOGS = "training_log_*.txt"
TOLD = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[.\d]*: (.*)$")
"""A line of nnU-Net's log: when, and what."""


@dataclass(frozen=True)
class Step:
    """One step of a fold, as its folder tells.

    Attributes:
        checkpoint: the newest one, or None where there is none yet.
        logging: of nnU-Net's logger, one value an epoch, up to the checkpoint.
        state: what is ours in the checkpoint.
        plans: that it was trained with; empty where they are not to be found.
        log: when and what, of every line with a time.
    """

    number: int
    folder: Path
    standing: Standing
    checkpoint: Path | None
    logging: Mapping[str, Any]
    state: Mapping[str, Any]
    plans: Mapping[str, Any]
    dataset_json: Mapping[str, Any]
    summary: Mapping[str, Any]
    log: list[tuple[str, str]]

    @property
    def configuration(self) -> Mapping[str, Any]:
        """Of the plans, inheritance resolved; empty where they lack it."""
        known = self.plans.get("configurations")
        name = self.standing.configuration
        return resolve(self.plans, name) if isinstance(known, Mapping) and name in known else {}

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """What the log warns of."""
        return [(when, text) for when, text in self.log if "WARNING" in text]


def read_steps(place: RunPlace) -> list[Step]:
    """Those that were begun.

    Raises:
        UserError: a checkpoint cannot be read without unpickling.
    """
    standing = {one.step: one for one in _standings(place)}
    return [_read_step(folder, standing[STEPS[trainer]]) for trainer, folder in place.folders.items()]


def _standings(place: RunPlace) -> Iterator[Standing]:
    """Stale is told only where the plans are there to compare with."""
    preprocessed = place.preprocessed
    for one in standings(place.results, preprocessed or place.results, [place.dataset]):
        if (one.plans, one.configuration, one.fold) == (place.plans, place.configuration, place.fold):
            yield one if preprocessed is not None else replace(one, stale=None)


def _read_step(folder: Path, standing: Standing) -> Step:
    checkpoint = newest_checkpoint(folder)
    content = {} if checkpoint is None else read_checkpoint(checkpoint)
    given = mapping(content.get("init_args"))
    model = folder.parent
    return Step(
        number=standing.step,
        folder=folder,
        standing=standing,
        checkpoint=checkpoint,
        logging=mapping(content.get("logging")),
        state=mapping(content.get(LWI_KEY)),
        plans=mapping(given.get("plans")) or read_object(model / "plans.json"),
        dataset_json=mapping(given.get("dataset_json")) or read_object(model / "dataset.json"),
        summary=read_object(folder / "validation" / "summary.json"),
        log=list(_read_log(folder)),
    )


def _read_log(folder: Path) -> Iterator[tuple[str, str]]:
    """Of all logs of the run; nnU-Net begins one whenever a training starts or goes on."""
    for path in sorted(folder.glob(LOGS)):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if match := TOLD.match(line.strip()):
                yield match[1], match[2]


def mapping(value: Any) -> Mapping[str, Any]:
    """The value, or an empty mapping where it is none."""
    return value if isinstance(value, Mapping) else {}
