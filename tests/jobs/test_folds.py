"""Several folds, one after the other, by one job or by many: each fold by one of them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.interruption import AskedToEnd
from nnunetv2_lwi.jobs import execution, folds
from nnunetv2_lwi.jobs.folds import LOCK, claimed, trainings_of_folds
from nnunetv2_lwi.jobs.steps import Job
from nnunetv2_lwi.nnunet.target import read_target
from tests.tiny_dataset import NAME

ROOT = Path(__file__).parents[2]


@pytest.fixture
def commands(dataset, monkeypatch):
    """Records what would be trained, fold by fold; the plan starts at random, so that there is one step."""
    dataset.write_plans(seg={"start": "random", "epochs": 1})
    run = []

    def record(command, *_):
        run.append(command[3])
        return 0

    monkeypatch.setattr(execution, "run_command", record)
    return run


@contextmanager
def another_job_has(*folds: int):
    """A process of its own, for one process may have a lock twice."""
    folder = job_of(0).target.output_folder("nnUNetTrainerLWISeg").parent
    folder.mkdir(parents=True)
    program = (
        "import sys; from pathlib import Path; from nnunetv2_lwi.one_writer import OneWriter\n"
        "writers = [OneWriter(Path(sys.argv[1]), lock) for lock in sys.argv[2:]]\n"
        "print(*(writer.acquire() for writer in writers), flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(folder), *(LOCK.format(fold) for fold in folds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None and process.stdout.readline().split() == ["True"] * len(folds)
        yield
        process.communicate("")


def job_of(fold) -> Job:
    return Job(read_target("999", "nnUNetPlans", "3d_fullres", fold), "cpu")


def train(*words: str) -> None:
    main(["train", "999", "3d_fullres", "-device", "cpu", *words])


def test_without_a_fold_every_fold_of_the_split_is_trained(commands):
    train()
    assert commands == ["0", "1", "2", "3", "4"]


def test_folds_are_those_that_are_named_in_their_order(commands):
    train("--folds", "3", "all", "0")
    assert commands == ["3", "all", "0"]


def test_a_fold_that_another_job_has_is_left_to_it(commands, capsys):
    with another_job_has(1, 3):
        train()
    assert commands == ["0", "2", "4"]
    assert "Left to other jobs, which have them: folds 1, 3." in capsys.readouterr().out
    train("--folds", "1")
    assert commands[3:] == ["1"], "the lock goes with its job"


def test_a_fold_that_fails_stops_no_other(commands, monkeypatch, capsys):
    monkeypatch.setattr(execution, "run_command", lambda command, *_: commands.append(command[3]) or int(command[3] == "1"))
    with pytest.raises(UserError, match=r"1 of 3 folds failed\. Run the same command .* fold 1: nnUNetTrainerLWISeg ended"):
        train("--folds", "0", "1", "2")
    assert commands == ["0", "1", "2"] and "FAILED: fold 1" in capsys.readouterr().out


def test_only_folds_that_were_neither_refused_nor_failed_are_told_as_trained(commands, monkeypatch):
    def refuse(job):
        if job.target.fold == 1:
            raise UserError("was trained otherwise than now asked for")
        return iter(())

    monkeypatch.setattr(folds, "trainings_left", refuse)
    told = []
    with pytest.raises(UserError, match="1 of 3 folds failed"):
        folds.run_open_folds([job_of(fold) for fold in range(3)], lambda _: None, told.extend)
    assert [job.target.fold for job in told] == [0, 2]


def test_a_signal_ends_all_of_it(commands, monkeypatch):
    def ask(command, *_):
        commands.append(command[3])
        raise AskedToEnd("asked")

    monkeypatch.setattr(execution, "run_command", ask)
    with pytest.raises(AskedToEnd):
        train()
    assert commands == ["0"]
    with claimed(job_of(0)) as mine:
        assert mine, "the fold is open again"


def test_a_fold_that_a_stock_command_trains_is_left_to_it_and_no_failure(dataset, commands, capsys):
    folder = dataset.output_folder("nnUNetTrainerLWISeg", 2)
    folder.mkdir(parents=True)
    program = (
        "import sys; from pathlib import Path; from nnunetv2_lwi.one_writer import OneWriter\n"
        "writer = OneWriter(Path(sys.argv[1])); print(writer.acquire(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "True\n"
        train()
        process.communicate("")
    assert commands == ["0", "1", "3", "4"]
    assert "Left to other jobs, which have them: folds 2." in capsys.readouterr().out


def test_what_cannot_be_trained_leaves_no_trace(dataset, commands):
    dataset.write_plans(seg={"start": "random", "epochs": 0})
    with pytest.raises(UserError, match="5 of 5 folds failed"):
        train()
    assert commands == [] and not (dataset.results / NAME).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["3d_fullres", "7"], r"There is no fold 7: the split has folds 0 to 4\. Add it to splits_final\.json"),
        (["3d_fullres", "-f", "0", "5"], "There is no fold 5"),
        (["0"], "Plans nnUNetPlans have no configuration 0"),
        (["3d_fullres", "-num_gpus", "0"], "-num_gpus 0 must be at least 1"),
    ],
)
def test_what_is_not_there_is_told_once_before_any_fold(commands, capsys, words, message):
    with pytest.raises(UserError, match=message):
        main(["train", "999", *words, "-device", "cpu"])
    assert commands == [] and "FAILED" not in capsys.readouterr().out


def test_a_fold_and_folds_are_one_too_many(commands):
    with pytest.raises(UserError, match="Fold 0 and -f: give one of them"):
        main(["train", "999", "3d_fullres", "0", "--folds", "1"])


def test_a_group_of_processes_takes_folds_one_by_one(commands, capsys):
    with another_job_has(1):
        assert [training.words[2] for training in trainings_of_folds([job_of(fold) for fold in (0, 1, 2)])] == ["0", "2"]
    assert "Fold 1 is left to the job that has it." in capsys.readouterr().out
