"""How every command line reads: whole option names, positions and options in any order, one form of help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

WIDTH = 110
DOCUMENTATION = "in the repository, docs/"
EXIT_CODES = "Exit codes: 0 done; 1 no, a line says why; 2 the command line is wrong, or check could not look."


class Help(argparse.RawDescriptionHelpFormatter):
    """As wide everywhere, so that what the documentation shows is what is printed; examples keep their lines."""

    def __init__(self, prog: str, **kwargs: Any) -> None:
        super().__init__(prog, **{"width": WIDTH, "max_help_position": 32, **kwargs})


class Parser(argparse.ArgumentParser):
    """Knows options by their whole names alone: ``-devic`` is neither ``-device`` nor ``-d evic``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": Help, **kwargs})

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """What an option might abbreviate, or join with its value: nothing (``allow_abbrev`` concerns ``--`` alone)."""
        return []


def epilog(examples: Sequence[str], page: str, more_exit_codes: str = "") -> str:
    """What follows the options in the help of a subcommand.

    Args:
        page: of the documentation, below ``docs/``.
        more_exit_codes: those that this subcommand has besides.
    """
    lines = "\n".join(f"  nnUNetv2_lwi {example}" for example in examples)
    title = "Example" if len(examples) == 1 else "Examples"
    return f"{title}:\n{lines}\n\n{EXIT_CODES}{more_exit_codes}\nMore: {DOCUMENTATION}{page}"
