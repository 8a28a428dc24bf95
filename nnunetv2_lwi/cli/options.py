"""Options that more than one subcommand takes."""

import argparse

from nnunetv2_lwi.nnunet.target import parse_fold


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """``-d -c -p -f``: data set, configuration, plans and fold, as nnU-Net's commands name them."""
    parser.add_argument("-d", dest="dataset", required=True, help="data set name or id")
    parser.add_argument("-c", dest="configuration", default="3d_fullres", help="configuration (default: %(default)s)")
    parser.add_argument("-p", dest="plans_name", default="nnUNetPlans", help="plans (default: %(default)s)")
    parser.add_argument("-f", dest="fold", type=parse_fold, default=0, help="fold (default: %(default)s)")


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
