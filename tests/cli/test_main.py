"""The command line: light to start, and a user's mistake is one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nnunetv2_lwi.cli.main import SUBCOMMANDS, main
from nnunetv2_lwi.nnunet.commands import trainers_folder


def test_trainers_prints_the_folder_and_nothing_else(capsys):
    main(["trainers"])
    assert capsys.readouterr().out == f"{trainers_folder()}\n"


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_every_subcommand_explains_itself(subcommand, capsys):
    with pytest.raises(SystemExit) as end:
        main([subcommand, "--help"])
    assert end.value.code == 0 and f"nnUNetv2_lwi {subcommand}" in capsys.readouterr().out


def test_help_lists_the_subcommands_and_a_wrong_one_is_told(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert all(subcommand in capsys.readouterr().out for subcommand in list(SUBCOMMANDS)[:1])
    with pytest.raises(SystemExit) as end:
        main(["trian"])
    assert end.value.code == 2


def test_nothing_heavy_is_imported_to_start():
    heavy = {"torch", "numpy", "nnunetv2", "matplotlib"}
    code = f"import sys, nnunetv2_lwi, nnunetv2_lwi.cli.main; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_an_error_is_one_line_and_exit_code_1():
    result = subprocess.run(
        [sys.executable, "-m", "nnunetv2_lwi.cli.main", "check", "missing.pth", "-d", "999"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": ""},
    )
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith("nnunetv2_lwi: The environment variable nnUNet_preprocessed is not set")
    assert result.stderr.count("\n") == 1
