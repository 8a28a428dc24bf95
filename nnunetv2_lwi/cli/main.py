# PYTHON_ARGCOMPLETE_OK
"""The command ``nnUNetv2_lwi``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

import nnunetv2_lwi
from nnunetv2_lwi.cli.grammar import DOCUMENTATION, EXIT_CODES, Parser, epilog
from nnunetv2_lwi.disk import telling_disk_trouble
from nnunetv2_lwi.errors import EXIT_CODE_OF_BAD_USAGE, BadUsage, CouldNotLook

SUBCOMMANDS = {
    "trainers": "print what the environment variable nnUNet_extTrainer must name: our trainers and yours",
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
    "report": "write one HTML page of a run or of a comparison, which needs no network",
    "export": "hand on a model of stock nnU-Net, a step 1 as pretrained weights, or its encoder",
    "demo": "run the whole job on a small data set, generated or given",
}
"""Each is a module in this package, imported when it is called: ``add_arguments(parser)``, ``run(arguments)``, ``EXAMPLES``,
and the ``PAGE`` of the documentation."""

COMPLETION = 'Completion in bash and zsh: eval "$(register-python-argcomplete nnUNetv2_lwi)"'


def command() -> None:
    """What the shell calls: :func:`main`, with the exit code of a wrong command line, or of what cannot be looked at."""
    try:
        main()
    except (BadUsage, CouldNotLook) as error:
        sys.stderr.write(f"{error.message}\n")
        raise SystemExit(EXIT_CODE_OF_BAD_USAGE) from None
    except BrokenPipeError:  # who reads has seen enough: ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run the subcommand.

    Raises:
        UserError: a user's mistake, in one line.
    """
    arguments = parse(argv)
    with telling_disk_trouble():
        arguments.run(arguments)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the subcommand, and in ``run`` the function that takes them; positions may stand among options.

    Raises:
        SystemExit: the command line is not possible; argparse has printed why.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:
        complete()
    if words and words[0] in SUBCOMMANDS:
        return subcommand_parser(words[0]).parse_intermixed_args(words[1:])
    parser, _ = command_parser()
    return parser.parse_args(words)


def command_parser() -> tuple[argparse.ArgumentParser, argparse._SubParsersAction[Parser]]:
    """The parser that knows every subcommand by its summary alone."""
    parser = Parser(
        prog="nnUNetv2_lwi",
        description="Learnable weight initialization for nnU-Net v2 (arXiv 2306.09320).",
        epilog=f"nnUNetv2_lwi SUBCOMMAND --help tells more.\n{EXIT_CODES}\n{COMPLETION}\nMore: {DOCUMENTATION}index.md",
    )
    parser.add_argument("--version", action="version", version=nnunetv2_lwi.__version__, help="print the version and stop")
    subparsers = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND", parser_class=Parser)
    for name, summary in SUBCOMMANDS.items():
        subparsers.add_parser(name, help=summary)
    return parser, subparsers


def subcommand_parser(name: str) -> Parser:
    """The parser of one, from its module."""
    module, summary = importlib.import_module(f"nnunetv2_lwi.cli.{name}"), SUBCOMMANDS[name]
    parser = Parser(
        prog=f"nnUNetv2_lwi {name}",
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog(module.EXAMPLES, module.PAGE, getattr(module, "MORE_EXIT_CODES", "")),
    )
    module.add_arguments(parser)
    parser.set_defaults(run=module.run, subcommand=name)
    return parser


def complete() -> None:
    """Answer the shell, which asks for what may follow, and end."""
    import argcomplete

    parser, subparsers = command_parser()
    for name in SUBCOMMANDS:
        importlib.import_module(f"nnunetv2_lwi.cli.{name}").add_arguments(subparsers.choices[name])
    argcomplete.autocomplete(parser, always_complete_options=False)


if __name__ == "__main__":
    command()
