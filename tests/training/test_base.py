"""What both trainers do with disks and checkpoints."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.checkpoint import read_checkpoint
from nnunetv2_lwi.training import resumable
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg

TRAINERS = pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])
RANDOM_START = {"epochs": 2, "start": "random"}


@TRAINERS
def test_latest_comes_after_best_and_holds_the_epoch_that_ended(dataset, monkeypatch, cls):
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    trainer = dataset.trainer(cls, seg=RANDOM_START)
    written = []
    save = trainer.save_checkpoint

    def note(filename):
        save(filename)
        written.append((Path(filename).stem, read_checkpoint(filename)["current_epoch"]))

    monkeypatch.setattr(trainer, "save_checkpoint", note)
    trainer.run_training()
    assert written[:2] == [("checkpoint_best", 1), ("checkpoint_latest", 1)]
    assert written[-1] == ("checkpoint_final", 2) and ("checkpoint_latest", 2) not in written


@TRAINERS
def test_latest_is_not_written_before_its_time(dataset, cls):
    trainer = dataset.trainer(cls, seg=RANDOM_START, init={"epochs": 2})
    trainer.run_training()
    before = {path.name for path in Path(trainer.output_folder).glob("checkpoint_*")}
    trainer.current_epoch = 1
    trainer.save_latest_if_due()
    assert before == {path.name for path in Path(trainer.output_folder).glob("checkpoint_*")}
    trainer._last_checkpoint_at -= resumable.SECONDS_BETWEEN_CHECKPOINTS
    trainer.save_latest_if_due()
    assert read_checkpoint(Path(trainer.output_folder) / "checkpoint_latest.pth")["current_epoch"] == 1


def test_what_a_kill_left_is_removed_when_training_starts(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=RANDOM_START)
    partial = Path(trainer.output_folder) / ".checkpoint_latest.pth.abc.tmp"
    partial.touch()
    trainer.on_train_start()
    assert not partial.exists()


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            UserError,
            "fold_0 could not be written: No space left on device",
        ),
        (OSError(errno.EDQUOT, "Quota used up", "/nowhere/x.png"), UserError, "/nowhere/x.png could not be written: Quota"),
        (PermissionError(errno.EACCES, "Permission denied"), PermissionError, "Permission denied"),
    ],
    ids=["full", "quota", "reading"],
)
def test_a_full_disk_is_told_wherever_training_meets_it(dataset, monkeypatch, error, raised, words):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=RANDOM_START)

    def fail(folder):
        raise error

    monkeypatch.setattr(trainer.logger, "plot_progress_png", fail)
    with pytest.raises(raised, match=words):
        trainer.run_training()


@TRAINERS
def test_a_file_where_results_belong_is_told_before_any_work(dataset, cls):
    dataset.results.rmdir()
    dataset.results.touch()
    with pytest.raises(UserError, match=f"Nothing can be written to {dataset.output_folder(cls.__name__)}"):
        dataset.trainer(cls)
