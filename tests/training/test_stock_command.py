"""What is read off the command line of nnUNetv2_train, and when nothing is."""

from __future__ import annotations

import argparse

import pytest
from nnunetv2.run import run_training

from nnunetv2_lwi.training.lookup import look_up
from nnunetv2_lwi.training.stock_command import read_command

WORDS = ["4", "3d_fullres", "0", "-tr", "T"]


@pytest.mark.parametrize("script", ["/venv/bin/nnUNetv2_train", "nnUNetv2_train.exe", "/site/nnunetv2/run/run_training.py"])
def test_the_stock_command_is_known(script):
    command = read_command([script, *WORDS, "-p", "Mine", "-pretrained_weights", "a.pth", "--npz", "-device", "cpu"])
    assert (command.dataset, command.configuration, command.fold) == ("4", "3d_fullres", "0")
    assert (command.p, command.pretrained_weights) == ("Mine", "a.pth")
    assert read_command([script, *WORDS]).p == "nnUNetPlans"


@pytest.mark.parametrize(
    "argv",
    [
        ["/venv/bin/pytest", *WORDS],
        ["", "-pretrained_weights", "a.pth"],
        ["nnUNetv2_predict", *WORDS],
        ["nnUNetv2_train", *WORDS, "-option_of_another_version", "x"],
        ["nnUNetv2_train", "4"],
    ],
)
def test_of_anything_else_nothing_is_said(argv):
    assert read_command(argv) is None


def test_it_takes_the_options_of_nnunets_command(monkeypatch):
    """Each with or without a value as there; a new one makes the look at the command line fall silent."""
    parsers: list[argparse.ArgumentParser] = []
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", lambda self, *_: parsers.append(self) or stop())
    with pytest.raises(KeyboardInterrupt):
        run_training.run_training_entry()
    monkeypatch.undo()
    words = list(WORDS[:3])
    for action in parsers[0]._actions:
        if action.option_strings and action.dest != "help":
            words += [action.option_strings[0]] if action.nargs == 0 else [action.option_strings[0], "1"]
    assert read_command(["nnUNetv2_train", *words]) is not None


def stop():
    raise KeyboardInterrupt


def test_other_names_are_not_ours():
    with pytest.raises(AttributeError):
        look_up("nnUNetTrainer")
