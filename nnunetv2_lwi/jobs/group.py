"""Training in the group of processes that torchrun, or srun, started: on one machine or on several, a rank a process.

nnU-Net starts its own processes, on one machine (``-num_gpus``). A launcher has started them already; each is told its
place by ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT``. The first rank decides what is left
to do, looks at files and writes; all train it, in the same processes, one step after the other: a group can be joined
once. Batches, oversampling and seeds are shared out as nnU-Net's distributed training does.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint
from nnunetv2.utilities.helpers import empty_cache
from torch import distributed as dist
from torch.backends import cudnn
from torch.distributed.rendezvous import rendezvous

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.jobs.rendezvous import store_of_attempt
from nnunetv2_lwi.jobs.steps import Training
from nnunetv2_lwi.nnunet.command_line import parse_training
from nnunetv2_lwi.nnunet.commands import external_trainers
from nnunetv2_lwi.nnunet.private import weights_read_to_cpu
from nnunetv2_lwi.training.machine.devices import require_device

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
TIMEOUT = timedelta(hours=4)
"""That ranks wait for each other: the first alone computes the metrics of step 2's final validation."""

TIMEOUT_OF_START = timedelta(minutes=30)
"""That the first ranks wait for the last: machines of a cluster do not all start at once."""


@dataclass(frozen=True)
class Group:
    """This process's place in it."""

    rank: int
    size: int
    local_rank: int
    device: torch.device


def group_of_launcher(device: str, gpus: int) -> Group | None:
    """The group that a launcher started this process in; None where none did.

    Raises:
        UserError: some of what a launcher tells is missing, ``-num_gpus`` asks for processes besides, or there is no such
            device, or none for this rank.
    """
    given = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    if "RANK" not in given or "WORLD_SIZE" not in given:
        return None
    missing = [name for name in VARIABLES if name not in given]
    if missing:
        raise UserError(
            f"RANK and WORLD_SIZE are set, as by a launcher, but not {', '.join(missing)}: set what is missing, or start "
            "with torchrun; unset RANK and WORLD_SIZE to train in one process."
        )
    try:
        rank, size, local_rank = (int(given[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    except ValueError as error:
        raise UserError(f"RANK, WORLD_SIZE and LOCAL_RANK must be numbers: {error}.") from error
    if gpus > 1:
        raise UserError(
            f"-num_gpus {gpus} in a group that a launcher started: each of its {size} processes has one GPU; leave it out."
        )
    require_device(torch.device(device))
    if device == "cuda" and local_rank >= torch.cuda.device_count():
        raise UserError(
            f"Rank {rank} is process {local_rank} of its machine, where torch can use {torch.cuda.device_count()} GPUs: "
            "start no more processes a machine than GPUs, and let each see all of them (no --gpus-per-task)."
        )
    return Group(rank, size, local_rank, torch.device(device, local_rank) if device == "cuda" else torch.device(device))


def run_in_group(group: Group, trainings: Callable[[], Iterator[Training]]) -> None:
    """Join the group and run what its first rank says is left.

    Args:
        trainings: called by the first rank alone.

    Raises:
        UserError: on the first rank, that it cannot start; the others then end too.
    """
    if group.device.type == "cuda":
        torch.cuda.set_device(group.device)
    backend = "cpu:gloo,cuda:nccl" if group.device.type == "cuda" else "gloo"
    found, rank, size = next(rendezvous("env://", group.rank, group.size, timeout=TIMEOUT))
    store = store_of_attempt(found, rank, size, TIMEOUT_OF_START)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    if group.device.type == "cuda":
        torch.set_num_threads(1)  # as nnU-Net's command does
    for training in _said_by_the_first(group, trainings):
        run_here(training, group)
    dist.destroy_process_group()  # not where a rank failed: it would wait for the others, which wait for it


def _said_by_the_first(group: Group, trainings: Callable[[], Iterator[Training]]) -> Iterator[Training]:
    """On every rank what the first has found, one by one; where it fails, the others end."""
    found = _when_asked(trainings)
    while True:
        said: list[Any] = [None]
        failure: BaseException | None = None
        if group.rank == 0:
            try:
                said[0] = next(found, None)
            except BaseException as error:
                said[0], failure = "failed", error
        dist.broadcast_object_list(said, 0)
        if failure is not None:
            raise failure
        if said[0] == "failed":
            raise SystemExit(1)  # the first rank says why
        if said[0] is None:
            return
        yield said[0]


def _when_asked(trainings: Callable[[], Iterator[Training]]) -> Iterator[Training]:
    """The same, looked for when the first is asked for, so that a mistake is met there."""
    yield from trainings()


def run_here(training: Training, group: Group) -> None:
    """What ``nnUNetv2_train`` does in each of the processes that it starts, in this one."""
    words = parse_training(training.words)
    os.environ["nnUNet_extTrainer"] = external_trainers()
    with _called_as(["nnUNetv2_train", *training.words]):
        if group.rank == 0:
            print(f"{training.trainer}: nnUNetv2_train {' '.join(training.words)} ({group.size} processes)", flush=True)
        fold = words.fold if words.fold == "all" else int(words.fold)
        trainer = get_trainer_from_args(
            words.dataset, words.configuration, fold, words.tr, words.p, words.c, device=group.device
        )
        weights = None if words.pretrained_weights is None else str(words.pretrained_weights)
        with weights_read_to_cpu():
            maybe_load_checkpoint(trainer, words.c, words.val, weights)
        cudnn.deterministic, cudnn.benchmark = False, torch.cuda.is_available()
        if not words.val:
            trainer.run_training()
        trainer.perform_actual_validation(words.npz)
    del trainer
    gc.collect()
    empty_cache(group.device)
    dist.barrier()


@contextmanager
def _called_as(words: list[str]) -> Iterator[None]:
    """The trainers look at the words that nnU-Net's command was called with."""
    before, sys.argv = sys.argv, words
    try:
        yield
    finally:
        sys.argv = before
