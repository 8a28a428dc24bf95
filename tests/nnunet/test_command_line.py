"""What is read off the command line of nnUNetv2_train, and when nothing is."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

import pytest
from nnunetv2.run import run_training

from nnunetv2_lwi.nnunet.command_line import OTHERS_WITH_VALUE, begins_anew, given_names, given_weights

WORDS = ["4", "3d_fullres", "0", "-tr", "T", "-p", "Mine", "--npz", "-device", "cpu"]
GIVEN = ["-pretrained_weights", "a.pth"]
SCRIPTS = ["/venv/bin/nnUNetv2_train", "nnUNetv2_train.exe", "/site/nnunetv2/run/run_training.py"]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("given", [GIVEN, ["-pretrained_weights=a.pth"]])
def test_the_file_is_known_as_nnunets_parser_would_take_it(monkeypatch, script, given):
    monkeypatch.setattr(sys, "argv", [script, *WORDS, *given, "--an_option_of_another_version", "x"])
    assert given_weights() == Path("a.pth")


@pytest.mark.parametrize("argv", [["/venv/bin/pytest", *WORDS, *GIVEN], ["", *GIVEN], [SCRIPTS[0], *WORDS]])
def test_nothing_is_said_where_none_was_given_or_another_command_runs(monkeypatch, argv):
    monkeypatch.setattr(sys, "argv", argv)
    assert given_weights() is None


@pytest.mark.parametrize("script", SCRIPTS)
def test_data_set_and_plans_are_known(monkeypatch, script):
    monkeypatch.setattr(sys, "argv", [script, *WORDS, *GIVEN])
    assert given_names() == ("4", "Mine")
    monkeypatch.setattr(sys, "argv", [script, "-p", "Mine", "-num_gpus", "1", "Dataset004_A", "3d_fullres", "0", "-tr", "T"])
    assert given_names() == ("Dataset004_A", "Mine")
    monkeypatch.setattr(sys, "argv", [script, "Dataset004_A", "3d_fullres", "0"])
    assert given_names() == ("Dataset004_A", "nnUNetPlans")
    monkeypatch.setattr(sys, "argv", ["/venv/bin/pytest", *WORDS])
    assert given_names() is None


def test_nnunets_command_names_the_option_so(monkeypatch):
    """Under another name the file would not be looked at before nnU-Net unpickles it."""
    parsers: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        parsers.append(parser)
        raise KeyboardInterrupt

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(KeyboardInterrupt):
        run_training.run_training_entry()
    with_value = {
        action.option_strings[-1] for action in parsers[0]._actions if action.option_strings and action.nargs is None
    }
    assert with_value == {*OTHERS_WITH_VALUE, "-tr", "-p", "-pretrained_weights"}
    assert next(action.dest for action in parsers[0]._actions if not action.option_strings) == "dataset_name_or_id"
    options = {option for action in parsers[0]._actions for option in action.option_strings}
    assert "-pretrained_weights" in options
    assert sorted(option for option in options if option.startswith("-p") and not option.startswith("-pretrained")) == ["-p"]
    assert "pretrained_weights" in inspect.getsource(run_training.run_training)


@pytest.mark.parametrize(
    ("more", "anew"),
    [([], True), (["--npz"], True), (["--c"], False), (["--val"], False), (["--val", "--val_best"], False), (GIVEN, True)],
)
def test_whether_a_training_begins_anew(monkeypatch, more, anew):
    monkeypatch.setattr(sys, "argv", [SCRIPTS[0], *WORDS, *more])
    assert begins_anew() == anew
    monkeypatch.setattr(sys, "argv", ["/venv/bin/pytest", *WORDS, *more])
    assert not begins_anew()
