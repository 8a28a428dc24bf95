"""Several folds by any number of jobs on a shared file system: each takes a fold that no other has, until none is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from nnunetv2_lwi.errors import HasAWriter, UserError
from nnunetv2_lwi.jobs.steps import Job, Training, require_both_steps, require_labelled_cases, trainings_left
from nnunetv2_lwi.names import STEP2_TRAINER
from nnunetv2_lwi.nnunet.split_file import FOLDS, read_splits
from nnunetv2_lwi.nnunet.target import Target
from nnunetv2_lwi.one_writer import OneWriter

LOCK = ".fold_{}.job.lock"


def folds_of_split(target: Target) -> list[int | str]:
    """Every fold of the split, or of the one that nnU-Net will make."""
    return list(range(len(read_splits(target.plans_file.parent) or [None] * FOLDS)))


def run_open_folds(jobs: Sequence[Job], run: Callable[[Training], None], tell: Callable[[Sequence[Job]], None]) -> None:
    """Run what is left of each fold that no other job has; one that fails stops no other.

    Args:
        tell: called at the end, however it comes, with those whose fold neither failed nor was refused.

    Raises:
        UserError: folds failed; the others were trained nevertheless.
        AskedToEnd: by a signal; the same command goes on.
    """
    failures: dict[int | str, str] = {}
    elsewhere = []
    try:
        for job in jobs:
            fold = job.target.fold
            try:
                with claimed(job) as mine:
                    if not mine:
                        elsewhere.append(str(fold))
                        continue
                    print(f"Fold {fold}:", flush=True)
                    for training in trainings_left(job):
                        run(training)
            except HasAWriter as error:
                print(f"Fold {fold}: {error.reason}", flush=True)
                elsewhere.append(str(fold))
            except UserError as error:
                print(f"FAILED: fold {fold}: {error.reason}", flush=True)
                failures[fold] = f"fold {fold}: {error.reason}"
    finally:
        tell([job for job in jobs if job.target.fold not in failures])
    if elsewhere:
        print(f"Left to other jobs, which have them: folds {', '.join(elsewhere)}.")
    if failures:
        told = "; ".join(failures.values())
        raise UserError(f"{len(failures)} of {len(jobs)} folds failed. Run the same command to go on. {told}")


def trainings_of_folds(jobs: Sequence[Job]) -> Iterator[Training]:
    """The same for a group of processes, which ends where a training fails: its first rank finds what is left."""
    for job in jobs:
        with claimed(job) as mine:
            if mine:
                print(f"Fold {job.target.fold}:", flush=True)
                yield from trainings_left(job)
            else:
                print(f"Fold {job.target.fold} is left to the job that has it.", flush=True)


@contextmanager
def claimed(job: Job) -> Iterator[bool]:
    """Whether this job has a fold for itself; what has no locks has no other jobs to keep from it.

    Raises:
        UserError: the fold cannot be trained; nothing was written.
    """
    folder = job.target.output_folder(STEP2_TRAINER).parent
    if not folder.is_dir():
        require_labelled_cases(job.target)
        require_both_steps(job)
        folder.mkdir(parents=True, exist_ok=True)
    writer = OneWriter(folder, LOCK.format(job.target.fold), kind="job", again="run the same command")
    try:
        writer.acquire()
    except HasAWriter:
        yield False
        return
    try:
        yield True
    finally:
        writer.release()
