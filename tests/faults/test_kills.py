"""Trainings are killed again and again, go on with ``--c``, and end where they would have ended.

Half of the kills strike while a checkpoint is being written, half at a random moment, of these one in two by SIGTERM.
"""

from __future__ import annotations

import logging
import random
import re
import shutil
import signal
from collections import deque
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import torch

from nnunetv2_lwi.handover.checkpoint import read_checkpoint
from nnunetv2_lwi.interruption import ASKED_TO_END
from nnunetv2_lwi.names import IN_ORDER_OF_RESUMING
from tests.faults.killable import STAGES, STEP1, STEP2, Ended, Job, Training, folder_of, start_server
from tests.faults.uninterrupted import Trainings, final_checkpoint, make_trainings, require_success

SECONDS_TO_A_WRITE = 120.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kill:
    """A signal, and the stage of writing a checkpoint at which it strikes; without one it strikes at any moment."""

    signal: signal.Signals
    stage: str | None


def kills_in_turn(trainer: str, number: int) -> deque[Kill]:
    """In a write and at any moment, in turn; at any moment by either signal, the trainers beginning with different ones.

    SIGTERM strikes at any moment alone: a training that is asked to end ends when what it is writing is whole.
    """
    signals = (signal.SIGTERM, signal.SIGKILL)
    first = 0 if trainer == STEP1 else 1
    in_a_write = (Kill(signal.SIGKILL, STAGES[(first + i) % len(STAGES)]) for i in range(number))
    at_any_moment = (Kill(signals[(first + i) % 2], None) for i in range(number))
    return deque(islice(chain.from_iterable(zip(in_a_write, at_any_moment, strict=True)), number))


@pytest.fixture(scope="module")
def trainings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    """With so many augmentation workers."""
    start_server()
    return make_trainings(tmp_path_factory.mktemp("kills"), request.param)


REPEATABLE, WITH_WORKERS = 0, 2
EXIT_CODES = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGTERM: {ASKED_TO_END, -signal.SIGTERM},  # the latter before it trains
}


@pytest.mark.parametrize(
    ("trainings", "number"),
    [
        pytest.param(REPEATABLE, 2, id="2 kills"),
        pytest.param(REPEATABLE, 5, id="5 kills", marks=pytest.mark.slow),
        pytest.param(WITH_WORKERS, 5, id="5 kills with workers", marks=pytest.mark.slow),
        pytest.param(REPEATABLE, 50, id="50 kills", marks=pytest.mark.soak),
        pytest.param(WITH_WORKERS, 50, id="50 kills with workers", marks=pytest.mark.soak),
    ],
    indirect=["trainings"],
)
@pytest.mark.parametrize("trainer", [STEP1, STEP2])
def test_a_training_survives_kills(trainings: Trainings, trainer: str, number: int):
    begun = monotonic()
    kills = kills_in_turn(trainer, number)
    rng = random.Random(f"{trainer} {number}")
    finished = 0
    while kills:
        assert finished < 2 * number, "the kills come too late"
        job = kill_until_finished(trainings, trainer, kills, rng)
        require_every_epoch_once(final_checkpoint(job)["logging"], trainings.epochs)
        require_nothing_left_over(job)
        compare = require_spread_of_uninterrupted if trainings.workers else require_same_as_uninterrupted
        compare(trainings, job)
        shutil.rmtree(job.results)
        finished += 1
    log.info("%s: %d kills in %d trainings, %.0f s", trainer, number, finished, monotonic() - begun)


def kill_until_finished(trainings: Trainings, trainer: str, kills: deque[Kill], rng: random.Random) -> Job:
    """One training: killed and resumed until it finished; a kill that came too late is left for the next."""
    seconds = trainings.seconds(trainer)
    job = trainings.job(trainer)
    while True:
        epoch = epoch_to_resume_from(job)
        kill = kills.popleft() if kills else None
        ended = run(job, kill, seconds, rng)
        require_epochs_from(epoch, ended, trainings.epochs)
        if kill is None or ended.exit_code == 0:
            if kill is not None:
                kills.appendleft(kill)
            require_success(ended)
            return job
        assert ended.exit_code in EXIT_CODES[kill.signal], ended.output
        log.info(
            "%s, begun at epoch %s: %s %s%s",
            trainer,
            epoch,
            kill.signal.name,
            f"with a checkpoint {kill.stage}" if kill.stage else "at a random moment",
            ", workers left behind" if ended.orphans else "",
        )
        require_whole_checkpoints(folder_of(job))
        job = replace(job, resume=True)


def run(job: Job, kill: Kill | None, seconds: float, rng: random.Random) -> Ended:
    """Run a training to its end or to its kill."""
    if kill is None:
        return Training(job).wait()
    if kill.stage is not None:
        training = Training(replace(job, halt_at=(rng.randint(1, 4), kill.stage)))
        if training.halts(SECONDS_TO_A_WRITE):
            training.kill(kill.signal)
        return training.wait()
    training = Training(job)
    training.halts(rng.uniform(0, seconds))
    training.kill(kill.signal)
    return training.wait()


def epoch_to_resume_from(job: Job) -> int:
    """What ``--c`` will find."""
    paths = [folder_of(job) / name for name in IN_ORDER_OF_RESUMING]
    return next((read_checkpoint(path)["current_epoch"] for path in paths if path.is_file()), 0)


def require_epochs_from(first: int, ended: Ended, epochs: int) -> None:
    """The process began with the epoch after the checkpoint's last and left none out."""
    printed = [int(epoch) for epoch in re.findall(r"^\S+ \S+: Epoch (\d+) *$", ended.output, re.MULTILINE)]
    assert printed == list(range(first, epochs))[: len(printed)], ended.output
    if ended.exit_code == 0:
        assert len(printed) == epochs - first, ended.output


def require_whole_checkpoints(folder: Path) -> None:
    """After any kill every checkpoint can be read."""
    for path in folder.glob("checkpoint_*"):
        assert path.name in IN_ORDER_OF_RESUMING
        read_checkpoint(path)


def require_every_epoch_once(logging: dict[str, list[Any]], epochs: int) -> None:
    """Every list of the log has one entry an epoch, and they were made one after the other."""
    assert {name: len(entries) for name, entries in logging.items()} == dict.fromkeys(logging, epochs)
    starts, ends = logging["epoch_start_timestamps"], logging["epoch_end_timestamps"]
    moments = [moment for pair in zip(starts, ends, strict=True) for moment in pair]
    assert moments == sorted(moments)


def require_nothing_left_over(job: Job) -> None:
    """Neither a partly written file nor a ``checkpoint_latest`` that ``--c`` could take."""
    names = {path.name for path in folder_of(job).iterdir() if "checkpoint" in path.name}
    assert names == {"checkpoint_final.pth", "checkpoint_best.pth"}


def require_same_as_uninterrupted(trainings: Trainings, job: Job) -> None:
    """Weights, optimiser, log and scores are bit for bit those of the training that nobody killed, last and best."""
    for name in ("checkpoint_final.pth", "checkpoint_best.pth"):
        actual, expected = (
            what_must_be_same(read_checkpoint(folder_of(each) / name))
            for each in (job, trainings.uninterrupted(job.trainer))
        )
        torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


def what_must_be_same(checkpoint: dict[str, Any]) -> dict[str, Any]:
    ours = checkpoint["lwi"]
    return {
        "network_weights": checkpoint["network_weights"],
        "optimizer_state": checkpoint["optimizer_state"]["state"],
        "logging": {name: entries for name, entries in checkpoint["logging"].items() if "timestamps" not in name},
        "current_epoch": checkpoint["current_epoch"],
        "scores": [score for score in (checkpoint["_best_ema"], ours.get("best_val_loss")) if score is not None],
        "order_heads": ours.get("order_heads", {}),
    }


def require_spread_of_uninterrupted(trainings: Trainings, job: Job) -> None:
    """The mean loss of the later half of the epochs lies among those epochs' losses in two uninterrupted trainings.

    Or outside by no more than these spread: of many trainings some lie outside what two have shown.
    """
    half = trainings.epochs // 2
    later = [
        loss
        for number in range(2)
        for loss in final_checkpoint(trainings.uninterrupted(job.trainer, number))["logging"]["train_losses"][half:]
    ]
    losses = final_checkpoint(job)["logging"]["train_losses"][half:]
    spread = max(later) - min(later)
    assert min(later) - spread <= sum(losses) / len(losses) <= max(later) + spread, (losses, later)
