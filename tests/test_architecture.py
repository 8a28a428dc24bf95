"""The rooms are drawn and explained as they are, and none grows out of shape. That the layers hold is `make lint`'s."""

from __future__ import annotations

import re
from configparser import ConfigParser
from itertools import pairwise, product
from pathlib import Path

from importlinter.api import read_configuration

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nnunetv2_lwi"
LONGEST_MODULE = 350
MOST_MODULES_OF_TRAINING = 14


def test_no_module_is_too_long():
    for path in (*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE, path


def test_the_trainers_room_stays_small():
    assert len(list((PACKAGE / "training").glob("*.py"))) <= MOST_MODULES_OF_TRAINING


def test_every_subcommand_is_a_module_and_nothing_else_is_in_its_room():
    from nnunetv2_lwi.cli.main import SUBCOMMANDS

    assert {path.stem for path in (PACKAGE / "cli").glob("*.py")} == {*SUBCOMMANDS, "__init__", "grammar", "main", "options"}


def test_the_picture_of_the_rooms_is_the_contract():
    """Every room of a layer leads to every room of the next one down, and there are no others."""
    contract = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"][0]
    layers = [layer.split(" | ") for layer in contract["layers"]]
    text = (ROOT / "docs" / "developers" / "architecture.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^    (\w+) --> (\w+)$", text, flags=re.MULTILINE)
    assert drawn == [edge for above, below in pairwise(layers) for edge in product(above, below)]


def test_every_room_is_explained():
    text = (ROOT / "docs" / "developers" / "contributing.md").read_text(encoding="utf-8")
    for path in (ROOT / "nnunetv2_lwi").iterdir():
        if path.is_dir() and path.name != "__pycache__":
            assert f"| `{path.name}/` |" in text, path.name


def test_every_folder_of_code_is_in_the_package_that_is_built():
    """An installation from a clone finds them anyhow; one from a wheel does not."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    rooms = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert sorted(listed) == sorted({*rooms, "nnunetv2_lwi.trainers", "nnunetv2_lwi.plans"})


def test_the_page_of_commands_is_what_the_commands_say():
    from docs.scripts import commands

    assert commands.PAGE.read_text(encoding="utf-8") == commands.text(), "run python docs/scripts/commands.py"
