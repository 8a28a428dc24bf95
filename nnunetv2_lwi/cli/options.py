"""Options that more than one subcommand takes, by the names that nnU-Net's own commands give them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from nnunetv2_lwi.nnunet.target import parse_fold

DEVICES = ("cuda", "cpu", "mps")
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def add_dataset_option(parser: argparse.ArgumentParser, required: bool = True, more: str = "") -> None:
    """``-d``."""
    option = parser.add_argument("-d", dest="dataset", required=required, help=f"data set name or id{more}")
    option.completer = complete_dataset  # type: ignore[attr-defined]


def add_plans_option(parser: argparse.ArgumentParser, what: str = "plans") -> None:
    """``-p``."""
    parser.add_argument(
        "-p", dest="plans_name", default="nnUNetPlans", metavar="PLANS", help=f"{what} (default: %(default)s)"
    )


def add_target_options(parser: argparse.ArgumentParser, fold: str = "fold") -> None:
    """``-d -c -p -f``: data set, configuration, plans and fold."""
    add_dataset_option(parser)
    parser.add_argument("-c", dest="configuration", default="3d_fullres", help="configuration (default: %(default)s)")
    add_plans_option(parser)
    parser.add_argument("-f", dest="fold", type=parse_fold, default=0, help=f"{fold} (default: %(default)s)")


def add_device_option(parser: argparse.ArgumentParser, found_out: bool = False) -> None:
    """``-device``.

    Args:
        found_out: CUDA only where there is a GPU, unless the user says so; nnU-Net's commands do not look.
    """
    default, said = (None, "cuda where there is a GPU, else cpu") if found_out else ("cuda", "cuda")
    parser.add_argument("-device", choices=DEVICES, default=default, help=f"where networks run (default: {said})")


def add_output_option(parser: argparse.ArgumentParser, what: str, *aliases: str, **more: Any) -> None:
    """``-o``: a folder or file to write."""
    parser.add_argument("-o", *aliases, **{"dest": "output", "type": Path, "help": what, **more})


def add_set_option(parser: argparse.ArgumentParser, purpose: str, example: str) -> None:
    """``--set KEY=VALUE``, as often as needed, into ``overrides``."""
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"{purpose}, in JSON; may be repeated: --set {example} (default: none)",
    )


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """``--labels`` or ``--which``: whose scores are reported."""
    from nnunetv2_lwi.datasets.published_splits import SPLITS

    which = parser.add_mutually_exclusive_group()
    which.add_argument("--labels", metavar="NAME,NAME", help="labels to report, as dataset.json names them (default: all)")
    which.add_argument("--which", choices=sorted(SPLITS), help="report the labels published of this split (default: all)")


def complete_dataset(**_: Any) -> list[str]:
    """The data sets in nnU-Net's folders, for the shell."""
    roots = [Path(os.environ[name]) for name in FOLDERS if name in os.environ]
    return sorted({path.name for root in roots if root.is_dir() for path in root.glob("Dataset*") if path.is_dir()})
