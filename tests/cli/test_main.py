"""The command line: light to start, and a user's mistake is one line."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from nnunetv2_lwi.cli.main import SUBCOMMANDS, command, main, parse, subcommand_parser
from nnunetv2_lwi.cli.train import settle
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.commands import trainers_folder

ROOT = Path(__file__).parents[2]


def test_trainers_prints_the_folder_before_the_users_own_and_nothing_else(capsys, monkeypatch):
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    main(["trainers"])
    assert capsys.readouterr().out == f"{trainers_folder()}\n"
    monkeypatch.setenv("nnUNet_extTrainer", f"/my/trainers{os.pathsep}{trainers_folder()}")
    main(["trainers"])
    assert capsys.readouterr().out == f"{trainers_folder()}{os.pathsep}/my/trainers\n"


def options_of(subcommand: str) -> list[argparse.Action]:
    return subcommand_parser(subcommand)._actions


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_every_option_says_what_it_is_and_its_default(subcommand):
    for action in options_of(subcommand):
        assert action.help, action.dest
        takes_a_value = action.option_strings and action.nargs != 0 and not action.required
        of_train = subcommand == "train" and action.dest.endswith("_option")
        assert not takes_a_value or "(default" in action.help or of_train or action.option_strings == ["-d"], action.dest


NAMES = {
    "dataset": "-d", "datasets": "-d", "dataset_option": "-d", "configuration": "-c", "configurations": "-c",
    "dataset_id": "-d", "plans_name": "-p", "fold": "-f", "folds": "-f",
    "device": "-device", "num_gpus": "-num_gpus", "output": "-o", "new_plans_name": "-o",
    "configuration_option": "-c", "overrides": "--set",
    "trainer": "-tr",
}  # fmt: skip


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_what_is_the_same_has_the_same_name_everywhere(subcommand):
    for action in options_of(subcommand):
        if action.option_strings and (subcommand, action.dest) != ("demo", "dataset"):
            short = action.option_strings[0]
            assert short == NAMES.get(action.dest, short), action.dest
            assert (short in NAMES.values()) == (action.dest in NAMES), action.dest


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_examples_are_possible_and_the_page_is_there(subcommand):
    module = importlib.import_module(f"nnunetv2_lwi.cli.{subcommand}")
    for example in module.EXAMPLES:
        assert example.split()[0] == subcommand
        assert parse(shlex.split(example)).subcommand == subcommand
    assert (ROOT / "docs" / module.PAGE.partition("#")[0]).is_file()
    text = subcommand_parser(subcommand).format_help()
    assert f"docs/{module.PAGE}\n" in text and f"  nnUNetv2_lwi {module.EXAMPLES[0]}\n" in text


@pytest.mark.parametrize(
    "words",
    [["train", "-dev", "cpu", "4"], ["train", "-devic", "cpu", "4"], ["train", "4", "--fold", "0"],
     ["train", "-num", "2", "4"], ["check", "x.pth", "-d4"], ["plan", "-d", "4", "--base"]],
)  # fmt: skip
def test_options_are_not_abbreviated(words, capsys):
    """-devic cpu would be -d evic, with cpu for a position, and -num 2 nnU-Net's -num_gpus 2."""
    with pytest.raises(SystemExit) as end:
        parse(words)
    assert end.value.code == 2 and "nnUNetv2_lwi" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    ["4 3d_fullres 0 -p Mine", "-p Mine 4 3d_fullres 0", "4 -p Mine 3d_fullres 0", "4 3d_fullres -p Mine 0",
     "-d 4 -c 3d_fullres -f 0 -p Mine", "-d 4 -f 0 -p Mine", "4 3d_fullres -f 0 -p Mine",
     "4 3d_fullres --folds 0 -p Mine"],
)  # fmt: skip
def test_train_takes_positions_and_options_in_any_order(words):
    arguments = parse(["train", *words.split()])
    settle(arguments)
    assert (arguments.dataset, arguments.configuration, arguments.folds) == ("4", "3d_fullres", [0])
    assert arguments.plans_name == "Mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-d 4 5 3d_fullres 0", "-d 4 and 5: the data set is said twice"),
        ("4 3d_lowres -c 3d_fullres", "-c 3d_fullres and 3d_lowres: the configuration is said twice"),
        ("4 3d_fullres 0 -f 1", "Fold 0 and -f: give one of them"),
        ("", "Name a data set: nnUNetv2_lwi train DATASET CONFIGURATION"),
    ],
)
def test_what_is_said_twice_or_not_at_all_is_one_line(words, message):
    with pytest.raises(UserError, match=re.escape(message)):
        main(["train", *words.split()])


def answer_of_the_shell(line: str, tmp_path: Path) -> list[str]:
    """What argcomplete offers after a line that is typed so far."""
    answer = tmp_path / "answer"
    variables = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_IFS": "\n"}
    variables |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "nnUNet_raw": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "nnunetv2_lwi.cli.main"], env=os.environ | variables, check=False, timeout=60)
    return sorted(word.strip() for word in answer.read_text().split("\n"))


def test_the_shell_completes_subcommands_options_and_data_sets(tmp_path):
    (tmp_path / "Dataset004_Hippocampus").mkdir()
    assert answer_of_the_shell("nnUNetv2_lwi stat", tmp_path) == ["status"]
    assert answer_of_the_shell("nnUNetv2_lwi train -dev", tmp_path) == ["-device"]
    assert answer_of_the_shell("nnUNetv2_lwi train -d Data", tmp_path) == ["Dataset004_Hippocampus"]


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_every_subcommand_explains_itself(subcommand, capsys):
    with pytest.raises(SystemExit) as end:
        main([subcommand, "--help"])
    assert end.value.code == 0 and f"nnUNetv2_lwi {subcommand}" in capsys.readouterr().out


def test_help_lists_the_subcommands_and_a_wrong_one_is_told(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(f"    {subcommand}" in out for subcommand in SUBCOMMANDS)
    with pytest.raises(SystemExit) as end:
        main(["trian"])
    assert end.value.code == 2


HEAVY = {"torch", "numpy", "nnunetv2", "matplotlib"}


def test_nothing_heavy_is_imported_to_start():
    code = f"import sys, nnunetv2_lwi, nnunetv2_lwi.cli.main; print({HEAVY} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def run_command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nnunetv2_lwi.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": ""},
    )


def test_what_could_not_be_looked_at_is_one_line_and_exit_code_2(monkeypatch, capsys):
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_lwi", "check", "missing.pth", "-d", "999"])
    with pytest.raises(SystemExit) as end:
        command()
    said = capsys.readouterr()
    assert end.value.code == 2 and said.out == ""
    assert said.err.startswith("nnunetv2_lwi: The environment variable nnUNet_preprocessed is not set")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["train"], ["train", "4", "-d", "5"], ["plan"], ["nothing"], ["train", "4", "--fold", "0"]]
)
def test_a_wrong_command_line_is_exit_code_2_at_once(words):
    code = (
        "import atexit, sys; from nnunetv2_lwi.cli.main import command; "
        f"atexit.register(lambda: print({HEAVY} & set(sys.modules))); command()"
    )
    result = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (2, "set()"), result.stderr


def test_who_reads_may_stop_reading():
    """As in: nnUNetv2_lwi plan --list | head -1."""
    words = [sys.executable, "-u", "-m", "nnunetv2_lwi.cli.main", "plan", "--list"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


def test_any_other_mistake_is_one_line_and_exit_code_1():
    result = run_command("splits", "-d", "999", "--which", "lung")
    assert result.returncode == 1 and result.stdout == "" and result.stderr.count("\n") == 1
