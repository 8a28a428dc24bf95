"""``nnUNetv2_lwi trainers``."""

from __future__ import annotations

import argparse

from nnunetv2_lwi.nnunet.commands import trainers_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(arguments: argparse.Namespace) -> None:
    """Print the folder and nothing else, for ``export nnUNet_extTrainer=$(nnUNetv2_lwi trainers)``."""
    print(trainers_folder())
