"""``nnUNetv2_lwi compare``: does step 1 help on this data set?"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunetv2_lwi.cli.options import (
    add_device_option,
    add_label_options,
    add_output_option,
    add_set_option,
    add_target_options,
)
from nnunetv2_lwi.disk import require_writable, write_text
from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.nnunet.folders import folder_if_set
from nnunetv2_lwi.nnunet.target import Target, read_target
from nnunetv2_lwi.one_writer import in_turn

if TYPE_CHECKING:
    from nnunetv2_lwi.comparison.design import Design, Run
    from nnunetv2_lwi.comparison.source import Source
    from nnunetv2_lwi.comparison.workplace import Workplace

EXAMPLES = (
    "compare -d 4 -c 3d_fullres --arms random,lwi_all --cases 8,36,all --seeds 3 -o /scratch/comparison",
    "compare -d 4 -c 3d_fullres --arms lwi --sweep lwi.masking.ratio=0.2,0.4,0.6 -o /scratch/ratios",
)
MORE_EXIT_CODES = " 75: asked to end by a signal, and saved; the same command goes on."
PAGE = "howto/compare.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnU-Net's commands where it has them."""
    add_target_options(parser, fold="fold whose cases train and validate")
    add_output_option(parser, "folder of the comparison", required=True)
    add_device_option(parser)
    parser.add_argument(
        "--arms",
        default="random,lwi",
        help="random, random_longer (with step 1's epochs on top), lwi, mask, tube, order, paper, each of the last five "
        "also with _all (step 1 on all training images) or _unlabelled (on the labelled images and the scans of "
        "nnUNetv2_lwi unlabelled), an initialisation scheme, pretrained:FILE (default: %(default)s); the first one is the "
        "baseline",
    )
    parser.add_argument(
        "--rest-unlabelled",
        action="store_true",
        help="for arms with _unlabelled: the training cases beyond --cases count as scans without labels too",
    )
    parser.add_argument("--cases", default="all", help="numbers of labelled cases, or all (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: %(default)s)")
    parser.add_argument(
        "--budget",
        choices=("equal", "added"),
        default="equal",
        help="step 1 within the baseline's epochs, lwi.seg.epochs of the plan, or on top of them (default: %(default)s)",
    )
    parser.add_argument(
        "--share",
        type=float,
        help="step 1's epochs over the baseline's (default: the paper's 0.16 of an equal budget; added: the plan's "
        "lwi.init.epochs)",
    )
    parser.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="KEY=V1,V2",
        help="a setting of the lwi block in several values; may be repeated: --sweep lwi.masking.ratio=0.2,0.4 "
        "(default: none)",
    )
    add_label_options(parser)
    parser.add_argument(
        "--plain", action="store_true", help="predict test cases without mirroring only, in an eighth of the time"
    )
    add_set_option(parser, "a value of the configuration for all runs", "lwi.seg.epochs=100")
    parser.add_argument("--list", action="store_true", help="print the work list and stop")
    parser.add_argument("--report", action="store_true", help="write tables and figures of what is finished, and stop")


def run(arguments: argparse.Namespace) -> None:
    """Do what is left of the work list, then write tables and figures.

    Raises:
        UserError: the comparison is not possible as given, or a training failed.
    """
    from nnunetv2_lwi.datasets.labels import selected_labels

    target = read_target(arguments.dataset, arguments.plans_name, arguments.configuration, arguments.fold)
    source = make_source(target)
    labels = selected_labels(list(source.class_names().values()), arguments.labels, arguments.which)
    design = make_design(arguments, target, source)
    runs = design.runs()
    check(arguments, target, source, runs)
    places = make_places(arguments, source, runs)
    if arguments.list:
        print_list(runs, places)
        return
    if not arguments.report:
        work(arguments, runs, places)
    write_report(arguments.output, runs, places, labels)


def make_source(target: Target) -> Source:
    """The user's folders."""
    from nnunetv2_lwi.comparison.source import Source

    raw = folder_if_set("nnUNet_raw")
    raw = raw / target.dataset_name if raw is not None else None
    return Source(
        target.plans_file.parent.absolute(),
        raw.absolute() if raw is not None and raw.is_dir() else None,
        target.plans,
        target.dataset_json,
    )


def make_design(arguments: argparse.Namespace, target: Target, source: Source) -> Design:
    """From the command line to what is compared.

    Raises:
        UserError: something in it is not possible.
    """
    from nnunetv2_lwi.comparison.arms import parse_arms
    from nnunetv2_lwi.comparison.design import Design
    from nnunetv2_lwi.comparison.preconditions import require_effect, require_scans
    from nnunetv2_lwi.comparison.subsets import parse_counts
    from nnunetv2_lwi.comparison.sweep import parse_sweeps
    from nnunetv2_lwi.planning.settings import LWISettings

    if arguments.share is not None and not 0 < arguments.share < 1:
        raise UserError(f"--share {arguments.share} must be above 0 and below 1.")
    if arguments.seeds < 1:
        raise UserError(f"--seeds {arguments.seeds} must be at least 1.")
    if not isinstance(arguments.fold, int):
        raise UserError("-f all leaves no validation case that was not trained on: name a fold by its number.")
    configuration = changed_configuration(arguments, target)
    pool, val_cases = source.split(configuration, arguments.fold)
    arms = parse_arms([name.strip() for name in arguments.arms.split(",")], LWISettings.from_configuration(configuration))
    variants = parse_sweeps(arguments.sweep)
    require_effect(variants, arms, arguments.share)
    scans = source.scans(configuration) if any(arm.sees_scans for arm in arms) else {}
    require_scans(arms, variants, arguments.rest_unlabelled, len(scans))
    return Design(
        configuration,
        pool,
        val_cases,
        source.fingerprint(arguments.configuration, configuration),
        arms,
        parse_counts(arguments.cases, len(pool)),
        list(range(arguments.seeds)),
        arguments.budget,
        arguments.share,
        variants,
        scans,
        arguments.rest_unlabelled,
    )


def changed_configuration(arguments: argparse.Namespace, target: Target) -> dict[str, Any]:
    """The plan's configuration, inheritance resolved, with the values of ``--set``.

    Raises:
        UserError: the configuration cannot be used, its data are missing, or a value is not possible.
    """
    from nnunetv2_lwi.nnunet.folders import require_preprocessed
    from nnunetv2_lwi.nnunet.inheritance import resolve
    from nnunetv2_lwi.planning.application import DATA_KEYS, override_values
    from nnunetv2_lwi.planning.configuration import resolve_configuration
    from nnunetv2_lwi.planning.overrides import parse_overrides

    name, plans = target.configuration, target.plans
    resolved = resolve_configuration(plans, name)
    require_preprocessed(target.dataset_name, resolved.data_identifier, target.plans_name, name)
    overrides = parse_overrides(arguments.overrides)
    if "lwi.init.epochs" in overrides and (arguments.budget == "equal" or arguments.share is not None):
        raise UserError(
            "--set lwi.init.epochs: here step 1's length follows from the baseline's. Use --share, --sweep init.epochs=..., "
            "or --budget added without --share."
        )
    other_data = sorted({*DATA_KEYS, "data_identifier"} & overrides.keys())
    if other_data:
        raise UserError(
            f"--set {other_data[0]}: a comparison uses the preprocessed data as they are. Use nnUNetv2_lwi plan."
        )
    configuration = resolve(plans, name)
    for names_another in ("inherits_from", "next_stage"):
        configuration.pop(names_another, None)
    return override_values(configuration, overrides)


def check(arguments: argparse.Namespace, target: Target, source: Source, runs: Sequence[Run]) -> None:
    """What would otherwise stop the comparison hours later.

    Raises:
        UserError: device, MONAI, labels, the folder or what an arm starts from are not as they must be.
    """
    import torch

    from nnunetv2_lwi.comparison.preconditions import require_fitting_tests, require_labels_of_validation
    from nnunetv2_lwi.training.machine.devices import require_device

    if not (arguments.list or arguments.report):
        require_device(torch.device(arguments.device))
        require_fitting_tests(source.test_images)
    if find_spec("monai") is None:
        raise UserError("compare takes HD95 from MONAI: pip install 'nnunetv2_lwi[hybrids]'")
    require_labels_of_validation(source, runs[0].training.val_cases)
    output = arguments.output.absolute()
    if output.exists() and not output.is_dir():
        raise UserError(f"-o {output} is a file: name a folder.")
    if output.is_dir() and any(output.iterdir()) and not (output / "trainings").is_dir():
        raise UserError(f"-o {output} holds something else: name a new folder, or that of an earlier comparison.")
    if any(output.resolve().is_relative_to(folder.resolve()) for folder in filter(None, (source.preprocessed, source.raw))):
        raise UserError(f"-o {output} lies in the data set, which is only read: name another folder.")
    if not arguments.list:
        require_writable(output, "name another folder with -o")
    check_starts(target, runs)


def check_starts(target: Target, runs: Sequence[Run]) -> None:
    """Try each arm's networks, and look at the weights that are given.

    Raises:
        UserError: step 1's losses or step 2's outputs are not as they must be, or weights do not fit.
    """
    from nnunetv2_lwi.handover.suitability import check_weights
    from nnunetv2_lwi.training.trial import try_plan

    for one in {one.label: one for one in runs}.values():
        plans = {**target.plans, "configurations": {target.configuration: one.training.configuration}}
        try_plan(plans, target.configuration, target.dataset_json, with_step1=one.training.after is not None)
        if one.training.weights is not None:
            problems = check_weights(one.training.weights, plans, target.configuration, target.dataset_json)
            if problems:
                raise UserError(f"--arms {one.arm} does not fit the network of this plan: {shortened(problems)}.")


def make_places(arguments: argparse.Namespace, source: Source, runs: Sequence[Run]) -> list[Workplace]:
    """A folder for every training."""
    from nnunetv2_lwi.comparison.design import trainings_of
    from nnunetv2_lwi.comparison.workplace import Workplace

    root = arguments.output.absolute()
    return [
        Workplace(root, training, arguments.configuration, source, not arguments.plain) for training in trainings_of(runs)
    ]


def work(arguments: argparse.Namespace, runs: Sequence[Run], places: Sequence[Workplace]) -> None:
    """Do what is left, alone or beside other processes."""
    from nnunetv2_lwi.comparison.design import names_of
    from nnunetv2_lwi.comparison.execution import execute
    from nnunetv2_lwi.comparison.worklist import WorkList

    (arguments.output / "trainings").mkdir(parents=True, exist_ok=True)
    if incomplete := places[0].source.incomplete_tests():
        told = shortened([f"{case} ({image} is not in imagesTs)" for case, image in incomplete.items()])
        print(f"Not scored, of labelsTs: {told}.", flush=True)
    if arguments.device == "cuda" and "nnUNet_compile" not in os.environ:
        print("Networks are not compiled (nnUNet_compile=f); for long trainings set nnUNet_compile=t.", flush=True)
    WorkList(
        places,
        names_of(runs),
        lambda place: execute(place, arguments.device),
        lambda line: print(line, flush=True),
    ).run()


def print_list(runs: Sequence[Run], places: Sequence[Workplace]) -> None:
    """Every training with its state."""
    from nnunetv2_lwi.comparison.design import names_of

    names = names_of(runs)
    for place in places:
        state = _state(place)
        print(f"{state:<8} {names[place.training.key]}, {place.training.iterations} iterations ({place.folder.name})")
    left = sum(place.training.iterations for place in places if not place.result.is_file())
    print(f"{len(runs)} runs, {len(places)} trainings; {left} iterations left.")


def _state(place: Workplace) -> str:
    from nnunetv2_lwi.comparison.results import is_done

    if place.result.is_file():
        return "done" if is_done(place) else "to score"
    return "begun" if place.folder.is_dir() else "to do"


def write_report(
    folder: Path, runs: Sequence[Run], places: Sequence[Workplace], labels: Sequence[str] | None = None
) -> None:
    """Tables, curves and pictures; processes that end together take turns."""
    from nnunetv2_lwi.comparison.pictures import draw_cases
    from nnunetv2_lwi.comparison.plots import draw_comparison
    from nnunetv2_lwi.comparison.results import read_outcomes, write_csv, write_curves
    from nnunetv2_lwi.comparison.tables import write_tables

    outcomes = read_outcomes(runs, places, labels)
    if not outcomes:
        raise UserError(f"No run in {folder} is finished yet.")
    with in_turn(folder / "report.lock"):
        write_csv(outcomes, folder / "comparison.csv")
        write_curves(outcomes, folder / "curves.csv")
        text = write_tables(outcomes, runs[0].arm, len(runs))
        write_text(folder / "comparison.md", text)
        draw_comparison(outcomes, folder / "comparison.png")
        pictures = draw_cases(outcomes, folder / "cases")
    print(text)
    files = "comparison.csv, curves.csv, comparison.md, comparison.png"
    print(f"Written: {folder}/{files} and {len(pictures)} pictures in {folder}/cases.")
    print(f"Next, for one page of all of it: nnUNetv2_lwi report -i {folder}")
