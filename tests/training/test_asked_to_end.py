"""A training that is asked to end saves where it is, in the middle of an epoch too, and goes on as if it never ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from nnunetv2_lwi.handover.checkpoint import LWI_KEY, read_checkpoint
from nnunetv2_lwi.interruption import AskedToEnd
from nnunetv2_lwi.training.interruptible import STEPS_OF_EPOCH
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg

TRAINERS = pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])
LONG = {"iterations_per_epoch": 4, "init": {"epochs": 3, "optimizer": "AdamW", "lr": 1e-3}}
LONG |= {"seg": {"epochs": 3, "start": "random", "lr": 1e-2}, "seed": 5}


def make(dataset, cls):
    return dataset.trainer(cls, **LONG)


def signal_at(trainer, monkeypatch, method: str, call: int, number=signal.SIGTERM):
    """The signal comes while a method runs for the so many-th time, counted from 0."""
    original, calls = getattr(trainer, method), iter(range(10**6))

    def run(*args):
        if next(calls) == call:
            os.kill(os.getpid(), number)
        return original(*args)

    monkeypatch.setattr(trainer, method, run)


def latest(trainer) -> Path:
    return Path(trainer.output_folder) / "checkpoint_latest.pth"


def finish(trainer):
    trainer.run_training()
    values = {key: trainer.logger.get_value(key, None) for key in ("train_losses", "val_losses", "lrs")}
    return trainer.unwrapped_network.state_dict(), values


@pytest.mark.parametrize(
    ("cls", "method", "call", "number"),
    [
        (nnUNetTrainerLWIInit, "optimize", 1, signal.SIGUSR1),  # within the first epoch
        (nnUNetTrainerLWISeg, "optimize", 6, signal.SIGTERM),  # within the second
        (nnUNetTrainerLWIInit, "optimize", 7, signal.SIGTERM),  # in its last step
        (nnUNetTrainerLWISeg, "validation_step", 1, signal.SIGTERM),  # while it is validated
    ],
)
def test_what_goes_on_is_the_uninterrupted_training_to_the_last_bit(dataset, monkeypatch, cls, method, call, number):
    expected = finish(make(dataset, cls))
    (Path(make(dataset, cls).output_folder) / "checkpoint_final.pth").unlink()
    cut = make(dataset, cls)
    signal_at(cut, monkeypatch, method, call, number)
    with pytest.raises(AskedToEnd):
        cut.run_training()
    assert latest(cut).is_file() and not (latest(cut).parent / "checkpoint_final.pth").exists()
    resumed = make(dataset, cls)
    resumed.load_checkpoint(str(latest(cut)))
    weights, values = finish(resumed)
    assert values == expected[1]
    assert all(torch.equal(weights[key], expected[0][key]) for key in weights)


@TRAINERS
def test_an_epoch_is_not_left_out_where_another_rank_is_gone_when_one_is_over(dataset, monkeypatch, cls):
    """Asking the ranks fails then, after the epoch was counted."""
    expected = finish(make(dataset, cls))
    (Path(make(dataset, cls).output_folder) / "checkpoint_final.pth").unlink()
    cut = make(dataset, cls)
    is_asked = cut.is_asked_to_end

    def gone():
        if cut.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            raise RuntimeError("connection closed by peer")
        return is_asked()

    monkeypatch.setattr(cut, "is_asked_to_end", gone)
    with pytest.raises(AskedToEnd):
        cut.run_training()
    content = read_checkpoint(latest(cut))
    assert content["current_epoch"] == 1 and content[LWI_KEY][STEPS_OF_EPOCH] == []
    resumed = make(dataset, cls)
    resumed.load_checkpoint(str(latest(cut)))
    weights, values = finish(resumed)
    assert values == expected[1] and all(torch.equal(weights[key], expected[0][key]) for key in weights)


def test_no_step_is_made_twice_and_none_is_left_out(dataset, monkeypatch):
    cut = make(dataset, nnUNetTrainerLWIInit)
    signal_at(cut, monkeypatch, "optimize", 5)
    with pytest.raises(AskedToEnd):
        cut.run_training()
    content = read_checkpoint(latest(cut))
    assert content["current_epoch"] == 1 and len(content[LWI_KEY][STEPS_OF_EPOCH]) == 2
    assert len(content["logging"]["train_losses"]) == 1
    resumed = make(dataset, nnUNetTrainerLWIInit)
    resumed.load_checkpoint(str(latest(cut)))
    steps = []
    optimize = resumed.optimize
    monkeypatch.setattr(resumed, "optimize", lambda loss: steps.append(loss) or optimize(loss))
    resumed.run_training()
    assert len(steps) == 3 * 4 - 6 and resumed.num_iterations_per_epoch == 4


@TRAINERS
def test_a_signal_in_the_last_epoch_s_validation_leaves_a_finished_training(dataset, monkeypatch, cls):
    """The same command then has the final validation left."""
    trainer = make(dataset, cls)
    signal_at(trainer, monkeypatch, "on_train_end", 0)
    with pytest.raises(AskedToEnd):
        trainer.run_training()
    assert (latest(trainer).parent / "checkpoint_final.pth").is_file() and not latest(trainer).exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # nnU-Net's own thread raises too
@TRAINERS
def test_workers_that_end_at_the_same_signal_lose_nothing(dataset, monkeypatch, cls):
    """A scheduler sends it to every process of the job; nnU-Net's loader then raises."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    trainer = make(dataset, cls)
    optimize, steps = trainer.optimize, []

    def end_workers_too(loss):
        optimize(loss)
        steps.append(loss)
        if len(steps) == 2:
            for worker in trainer.dataloader_train._processes:
                os.kill(worker.pid, signal.SIGTERM)
                worker.join()
            monkeypatch.setattr(trainer, "end_if_asked", lambda: None)  # the loader raises before it is looked at
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(trainer, "optimize", end_workers_too)
    with pytest.raises(AskedToEnd):
        trainer.run_training()
    assert latest(trainer).is_file()


@TRAINERS
def test_it_is_told_where_it_stands_and_how_it_goes_on(dataset, monkeypatch, capfd, cls):
    trainer = make(dataset, cls)
    signal_at(trainer, monkeypatch, "optimize", 0)
    with pytest.raises(AskedToEnd):
        trainer.run_training()
    assert "was asked to end and is saved. The same command goes on (--c)." in capfd.readouterr().err
    assert not trainer.writer.held
