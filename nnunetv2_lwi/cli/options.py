"""Options that more than one subcommand takes."""

import argparse


def add_set_option(parser: argparse.ArgumentParser, purpose: str, example: str) -> None:
    """``--set KEY=VALUE``, as often as needed, into ``overrides``."""
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"{purpose}, in JSON; may be repeated: --set {example}",
    )
