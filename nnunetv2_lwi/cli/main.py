"""The command ``nnUNetv2_lwi``."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

import nnunetv2_lwi
from nnunetv2_lwi.disk import telling_disk_trouble

SUBCOMMANDS = {
    "trainers": "print the folder that the environment variable nnUNet_extTrainer must name",
    "plan": "add a preset, or the lwi block alone, to a copy of a plans file",
    "convert_btcv": "bring BTCV (Synapse), as downloaded, into nnU-Net's raw format",
    "splits": "write the published split of a data set",
    "unlabelled": "preprocess scans without labels, so that step 1 learns from them too",
    "train": "run step 1 and step 2; skip what is finished, resume what was cut",
    "status": "tell how trainings stand: running, cut, stale or finished, with epoch, expected end and Dice",
    "check": "tell whether a step 1 checkpoint fits a data set, configuration and fold",
    "probe": "tell what a step 1 learned for a segmentation: a linear probe of every stage, beside a random start",
    "dice": "print a table of the Dice per label from nnU-Net's summary.json files",
    "compare": "find out whether step 1 helps: arms, numbers of labelled cases and seeds as one resumable work list",
    "demo": "run the whole job on a small data set, generated or given",
}
"""Each is a module in this package with ``add_arguments(parser)`` and ``run(arguments)``, imported when it is called."""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run the subcommand.

    Raises:
        UserError: a user's mistake, in one line.
    """
    arguments = parse(argv)
    with telling_disk_trouble():
        arguments.run(arguments)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the subcommand, and in ``run`` the function that takes them.

    Raises:
        SystemExit: the command line is not possible; argparse has printed why.
    """
    parser = argparse.ArgumentParser(
        prog="nnUNetv2_lwi", description="Learnable weight initialization for nnU-Net v2 (arXiv 2306.09320)."
    )
    parser.add_argument("--version", action="version", version=nnunetv2_lwi.__version__)
    subparsers = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    known, _ = _Quiet(add_help=False).parse_known_args(argv)
    for name, summary in SUBCOMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == known.subcommand:
            module = importlib.import_module(f"nnunetv2_lwi.cli.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser.parse_args(argv)


class _Quiet(argparse.ArgumentParser):
    """Finds out which subcommand is meant, so that only its module is imported."""

    def __init__(self, **kwargs: bool) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.add_argument("subcommand", nargs="?")


if __name__ == "__main__":
    main()
