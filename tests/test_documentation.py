"""Every command in the documentation's ``sh`` blocks exists, with the options that it is given there."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_lwi.cli.main import parse
from nnunetv2_lwi.planning.overrides import parse_overrides
from nnunetv2_lwi.planning.presets import load_preset

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHORTEST_TEXT, FEWEST_LINES, MOST_LEFT_OVER = 8, 12, 0.25
"""Of lines quoted from the code: characters of a text that makes one known, their number, the share that values may fill."""
STOCK = {entry.name: entry for entry in entry_points(group="console_scripts") if entry.value.startswith("nnunetv2.")}


def commands_of(page: Path) -> list[list[str]]:
    """The words of every nnU-Net command, ours or stock, of a page, without what stands before it."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    texts = [re.sub(r"^.*\$\((nnUNetv2_.*)\)$", r"\1", line) for line in lines if "nnUNetv2_" in line]
    words = [shlex.split(text, comments=True) for text in [*texts, *inline_commands(page)]]
    return [some[next(i for i, word in enumerate(some) if word.startswith("nnUNetv2_")) :] for some in words]


def inline_commands(page: Path) -> list[str]:
    """Within sentences: those that name a data set, and leave nothing out."""
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    texts = [" ".join(text.split()) for text in re.findall(r"`(nnUNetv2_\w+ [^`]*)`", prose)]
    return [text for text in texts if re.search(r" -[ds] ", text) and "..." not in text]


COMMANDS = [(page.name, words) for page in PAGES for words in commands_of(page)]


def named(command: tuple[str, list[str]]) -> str:
    return f"{command[0]}: {' '.join(command[1])[:60]}"


class Parsed(Exception):
    """Ends nnU-Net's command once its command line was taken."""


def parse_stock(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nnU-Net's own parser read a command line, and run nothing.

    Some of nnU-Net's commands leave out what they do not know, without a word; here it is an error.
    """
    original = argparse.ArgumentParser.parse_known_args

    def only_parse(parser: argparse.ArgumentParser, *arguments: Any) -> None:
        _, unknown = original(parser, *arguments)
        raise Parsed(unknown)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", only_parse)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(Parsed) as outcome:
        STOCK[words[0]].load()()
    assert outcome.value.args == ([],)


def test_the_commands_were_found():
    assert len(COMMANDS) > 100


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_every_command_exists_with_its_options(command, monkeypatch):
    _, words = command
    if words[0] != "nnUNetv2_lwi":
        parse_stock(words, monkeypatch)
        return
    arguments = parse(words[1:])
    if getattr(arguments, "preset", None) is not None and not arguments.preset.endswith(".json"):
        load_preset(arguments.preset)
    parse_overrides(getattr(arguments, "overrides", []))


def test_no_block_holds_commands_that_are_not_read():
    """But for those of other versions, which are quoted as text."""
    for page in PAGES:
        for language, block in re.findall(
            r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            unread = re.findall(r"^(?:\w+=\S+ |torchrun .*)?nnUNetv2_.*", block, re.MULTILINE)
            assert language in ("sh", "text") or not unread, f"{page.name}: {unread}"


@pytest.mark.parametrize("words", ["nnUNetv2_preprocess -d 4 --plans x", "nnUNetv2_train 4 3d_fullres 0 --none"])
def test_a_stock_option_that_does_not_exist_is_found(words, monkeypatch):
    with pytest.raises(AssertionError):
        parse_stock(words.split(), monkeypatch)


def test_every_module_that_the_pages_name_is_there():
    for page in PAGES:
        for name in re.findall(r"`((?:[a-z_]+/)+[\w.]+\.py)`", page.read_text(encoding="utf-8")):
            there = any((ROOT / folder / name).is_file() for folder in ("", "nnunetv2_lwi"))
            assert there or "NAME" in name, f"{page.name}: {name}"


def left_over(line: str, texts: list[str]) -> float:
    """The share of a quoted line that is in no text of the code; ``<...>`` stands for a value."""
    line = re.sub("<[^<>]*>", "<>", line)
    rest = line
    for text in texts:
        rest = rest.replace(text, "<>")
    return len(re.sub(r"\W", "", rest)) / len(re.sub(r"\W", "", line))


def test_the_lines_that_troubleshooting_quotes_are_in_the_code():
    nnunet = Path(find_spec("nnunetv2").submodule_search_locations[0]) / "utilities" / "find_objects.py"
    nodes = [
        node
        for path in (*(ROOT / "nnunetv2_lwi").rglob("*.py"), nnunet)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]
    found = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    texts = sorted((text for text in found if len(text) >= SHORTEST_TEXT), key=len, reverse=True)
    page = (ROOT / "docs" / "howto" / "troubleshooting.md").read_text(encoding="utf-8")
    lines = "".join(re.findall(r"^```text\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)).splitlines()
    assert len(lines) > FEWEST_LINES
    assert [line for line in lines if left_over(line, texts) > MOST_LEFT_OVER] == []
    assert left_over("the GPU has <number> GiB and that is too little", texts) > MOST_LEFT_OVER


def test_each_data_set_has_its_whole_road():
    roads = (ROOT / "docs" / "howto" / "datasets.md").read_text(encoding="utf-8").split("\n## ")[1:-1]
    assert len(roads) == 4
    for road in roads:
        text = "".join(re.findall(r"^```sh\n(.*?)^```", road, flags=re.MULTILINE | re.DOTALL))
        steps = ("convert_", "plan_and_preprocess", "--baseline", "lwi train", "_random\n", "lwi dice")
        places = [text.find(step) for step in steps]
        assert places == sorted(places) and places[0] >= 0


def test_plans_are_planned_preprocessed_trained_and_read_under_one_name():
    """A preset's plans go by nnUNetPlans_PRESET, and its data by that and the configuration's name once more."""
    lines = [words for page, words in COMMANDS if page == "datasets.md"]
    presets = {words[words.index("--preset") + 1] for words in lines if "--preset" in words} - {"none"}
    assert presets == {"unetr_pp_synapse", "swin_unetr", "unetr_pp_lung"}
    text = "\n".join(" ".join(words) for words in lines)
    for preset in presets:
        for use in (
            rf"nnUNetv2_preprocess -d (\d+) -plans_name nnUNetPlans_{preset} -c {preset}\n",
            rf"nnUNetv2_lwi train (\d+) {preset} 0 -p nnUNetPlans_{preset}\n",
            rf"nnUNetv2_lwi train (\d+) {preset} 0 -p nnUNetPlans_{preset}_random\n",
            rf"nnUNetv2_lwi plan -d (\d+) --preset {preset} --baseline\n",
            rf"nnUNetv2_lwi dice -d (\d+) (--which synapse )?-c {preset} -f 0",
        ):
            assert re.search(use, text), use
