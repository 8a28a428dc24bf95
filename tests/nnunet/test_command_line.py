"""What is read off the command line of nnUNetv2_train, and when nothing is."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

import pytest
from nnunetv2.run import run_training

from nnunetv2_lwi.nnunet.command_line import given_weights

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


def test_nnunets_command_names_the_option_so(monkeypatch):
    """Under another name the file would not be looked at before nnU-Net unpickles it."""
    parsers: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        parsers.append(parser)
        raise KeyboardInterrupt

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(KeyboardInterrupt):
        run_training.run_training_entry()
    options = {option for action in parsers[0]._actions for option in action.option_strings}
    assert "-pretrained_weights" in options
    assert sorted(option for option in options if option.startswith("-p") and not option.startswith("-pretrained")) == ["-p"]
    assert "pretrained_weights" in inspect.getsource(run_training.run_training)
