"""Write docs/reference/commands.md from the parsers: ``python docs/scripts/commands.py``."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path

from nnunetv2_lwi.cli.main import SUBCOMMANDS, subcommand_parser

PAGE = Path(__file__).parents[1] / "reference" / "commands.md"
HEAD = """# Commands

`nnUNetv2_lwi SUBCOMMAND`, besides nnU-Net's own commands, which stay as they are. This page is made from the
commands' own help.

**One grammar.** `-d` data set (name or number), `-c` configuration, `-p` plans, `-f` fold, `-device`, `-num_gpus`,
`-i` input and `-o` output mean the same everywhere, as in nnU-Net's commands. Option names are not abbreviated. A
value of the plan is set with `--set lwi.init.lr=0.001`, and several are tried with `compare --sweep
lwi.init.lr=0.001,0.01`, by the same dotted names, which stand in [Settings](settings.md). Positions may come
before options or after them, but not right after one that takes several values (`-f 0 1`, `-d 4 7`): put them first.
`$STEP1` and `$RESULTS` in the examples stand for folders of trainings in `nnUNet_results`.

**Exit codes.**

| code | meaning |
|---|---|
| 0 | done; `check`: it fits |
| 1 | no: what was asked for does not fit or cannot be done; one line says why and what to do ([errors](errors.md)) |
| 2 | the command line is wrong; `check`: it could not look, so there is no answer |
| 3 | `unlabelled`: done, but some scans were left out, each with its reason |
| 75 | `train`, `compare`, the trainers: asked to end, saved; the same command goes on ([clusters](../howto/clusters.md)) |

**In the shell.** `eval "$(register-python-argcomplete nnUNetv2_lwi)"` in `.bashrc` or `.zshrc` completes
subcommands, options and data sets. Bars that show the progress appear on a terminal only; nothing is printed in
colour.
"""


def text() -> str:
    """The whole page."""
    return "\n".join([HEAD, *map(section, SUBCOMMANDS)])


def section(name: str) -> str:
    """One subcommand: what it does, examples, and a row an option."""
    module, summary = importlib.import_module(f"nnunetv2_lwi.cli.{name}"), SUBCOMMANDS[name]
    examples = "\n".join(f"nnUNetv2_lwi {example}" for example in module.EXAMPLES)
    rows = "\n".join(f"| {cell} | {meaning} |" for cell, meaning in options(name))
    table = f"\n| option | meaning |\n|---|---|\n{rows}\n" if rows else ""
    page = module.PAGE.removeprefix("reference/") if module.PAGE.startswith("reference/") else f"../{module.PAGE}"
    return f"## {name}\n\n{summary[0].upper()}{summary[1:]}. [More]({page}).\n\n```sh\n{examples}\n```\n{table}"


def options(name: str) -> Iterator[tuple[str, str]]:
    """Positions and options, and what the help says of each."""
    for action in subcommand_parser(name)._actions:
        if action.dest != "help":
            names = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{action.metavar or action.dest}`"
            values = f" {{{', '.join(map(str, action.choices))}}}" if action.choices else ""
            required = " (required)" if action.required and action.option_strings else ""
            yield names, f"{meaning(action)}{values}{required}".replace("|", "\\|")


def meaning(action: argparse.Action) -> str:
    """With its default."""
    return str(action.help) % {"default": action.default}


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
