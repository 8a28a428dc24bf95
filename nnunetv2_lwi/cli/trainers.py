"""``nnUNetv2_lwi trainers``."""

from __future__ import annotations

import argparse

from nnunetv2_lwi.nnunet.commands import external_trainers

EXAMPLES = ("trainers",)
PAGE = "start/install.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(arguments: argparse.Namespace) -> None:
    """Print folders and nothing else, for ``export nnUNet_extTrainer=$(nnUNetv2_lwi trainers)``: ours, yours."""
    print(external_trainers())
