"""``nnUNetv2_lwi report``: a run or a comparison as one HTML page, which needs no network and no other file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nnunetv2_lwi.cli.options import add_output_option, complete_dataset
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.target import parse_fold

if TYPE_CHECKING:
    from nnunetv2_lwi.report.places import RunPlace

EXAMPLES = (
    "report -d 4 -c 3d_fullres -f 0",
    "report -i $nnUNet_results/Dataset004_Hippocampus/nnUNetTrainerLWISeg__nnUNetPlans__3d_fullres/fold_0 -o run.html",
    "report -i /scratch/comparison --overwrite",
)
PAGE = "howto/report.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnU-Net's commands."""
    source = parser.add_mutually_exclusive_group(required=True)
    dataset = source.add_argument("-d", dest="dataset", help="data set name or id, for a run")
    dataset.completer = complete_dataset  # type: ignore[attr-defined]
    source.add_argument(
        "-i",
        dest="folder",
        type=Path,
        help="folder of a comparison (compare -o), or of a fold in nnUNet_results (default: -d)",
    )
    parser.add_argument("-c", dest="configuration", help="configuration (default: 3d_fullres)")
    parser.add_argument("-p", dest="plans_name", help="plans (default: nnUNetPlans)")
    parser.add_argument("-f", dest="fold", type=parse_fold, help="fold (default: 0)")
    add_output_option(parser, "the page (default: report.html in the folder that it is of)", metavar="FILE.html")
    parser.add_argument("--overwrite", action="store_true", help="replace a page that is there")
    parser.add_argument(
        "--slices",
        type=int,
        metavar="CASES",
        help="show volumes of step 1 slice by slice for so many validation cases; its network runs once for each, on the "
        "CPU (default: 2 where a patch has at most 96^3 voxels, else 0)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the page and say where it is.

    Raises:
        UserError: there is no such run, or the page cannot be written.
    """
    from nnunetv2_lwi.disk import require_new_file, write_text
    from nnunetv2_lwi.report.comparison_page import comparison_page
    from nnunetv2_lwi.report.places import ENDINGS, FILE, is_comparison
    from nnunetv2_lwi.report.run_page import run_page

    if arguments.slices is not None and arguments.slices < 0:
        raise UserError(f"--slices {arguments.slices} must be at least 0.")
    require_one_way_of_naming(arguments)
    if arguments.folder is not None and is_comparison(arguments.folder):
        output = arguments.output or arguments.folder / FILE
        require_new_file(output, ENDINGS, arguments.overwrite)
        if arguments.slices is not None:
            raise UserError("--slices is for a run, not for a comparison: leave it out.")
        text = comparison_page(arguments.folder)
    else:
        place = find_run(arguments)
        output = arguments.output or place.own_folder / FILE
        require_new_file(output, ENDINGS, arguments.overwrite)
        text = run_page(place, arguments.slices)
    write_text(output, text)
    print(f"Written: {output.absolute()} ({len(text.encode()) / 2**20:.1f} MiB). Open it in a browser; it needs no network.")


def require_one_way_of_naming(arguments: argparse.Namespace) -> None:
    """Raises:
    UserError: a folder is named, and a configuration, plans or fold as well.
    """
    given = {"-c": arguments.configuration, "-p": arguments.plans_name, "-f": arguments.fold}
    others = [option for option, value in given.items() if value is not None]
    if arguments.folder is not None and others:
        raise UserError(f"-i names a folder, which says all of {', '.join(others)} already: give -i alone, or -d with them.")


def find_run(arguments: argparse.Namespace) -> RunPlace:
    """By its names or its folder.

    Raises:
        UserError: it was not begun.
    """
    from nnunetv2_lwi.nnunet.target import read_target
    from nnunetv2_lwi.report.places import place_of_folder, place_of_target

    if arguments.folder is not None:
        return place_of_folder(arguments.folder)
    fold = 0 if arguments.fold is None else arguments.fold
    names = (arguments.plans_name or "nnUNetPlans", arguments.configuration or "3d_fullres")
    return place_of_target(read_target(arguments.dataset, *names, fold))
