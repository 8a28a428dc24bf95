"""``nnUNetv2_lwi unlabelled``: preprocess scans without labels, so that step 1 learns from them too."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunetv2_lwi.cli.options import add_dataset_option, add_plans_option
from nnunetv2_lwi.disk import read_json, require_writable
from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.names import STEP1_TRAINER
from nnunetv2_lwi.nnunet.folders import find_dataset, folder_if_set, folder_of
from nnunetv2_lwi.nnunet.target import Target, read_target

if TYPE_CHECKING:
    from nnunetv2_lwi.nnunet.contents import Content
    from nnunetv2_lwi.unlabelled.raw_scans import Found
    from nnunetv2_lwi.unlabelled.update import Outcome

EXAMPLES = ("unlabelled -d 4 -c 3d_fullres", "unlabelled -d 4 -i /data/more_scans /data/old_scans")
MORE_EXIT_CODES = " 3: some scans were left out."
PAGE = "howto/unlabelled.md"
SOME_LEFT_OUT = 3
"""Exit code; 0: every scan can be used; 1: none, or a mistake."""
MOST_LINES = 20
PROCESSES = 4
"""nnU-Net's for 3d_fullres."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnU-Net's commands."""
    add_dataset_option(parser)
    parser.add_argument(
        "-c",
        dest="configurations",
        nargs="+",
        default=["3d_fullres"],
        metavar="CONFIGURATION",
        help="one or more (default: 3d_fullres)",
    )
    add_plans_option(parser)
    parser.add_argument(
        "-i",
        dest="folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="where the scans lie, named as in imagesTr; only read (default: imagesUn in the raw data set)",
    )
    parser.add_argument("-np", dest="processes", type=int, default=PROCESSES, help="processes (default: %(default)s)")
    parser.add_argument(
        "--allow-test-images",
        action="store_true",
        help="use also scans that are images of imagesTs or of a fold's validation; results say so",
    )
    parser.add_argument("--prune", action="store_true", help="remove preprocessed scans whose files are no longer there")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--plan",
        action="store_true",
        help="first plan the data set from its images alone, for one without labels (or with too few)",
    )
    source.add_argument(
        "--plan-of",
        metavar="DATASET",
        help="first take over the plans of that name of another data set, as they are (default: none)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Bring every configuration's scans up to date.

    Raises:
        UserError: the command is not possible as given, or no scan can be used.
        SystemExit: some scans were left out.
    """
    if arguments.processes < 1:
        raise UserError(f"-np {arguments.processes} must be at least 1.")
    if arguments.plan or arguments.plan_of is not None:
        plan(arguments)
    require_plans(arguments)
    targets = [
        read_target(arguments.dataset, arguments.plans_name, configuration, "all")
        for configuration in dict.fromkeys(arguments.configurations)
    ]
    for target in targets:
        require_usable(target)
    found = find(arguments, targets[0].dataset_name, targets[0].dataset_json)
    tests = read_tests(targets[0], arguments.processes)
    outcomes = [bring_up_to_date(arguments, target, found, tests) for target in targets]
    tell_next(targets, [outcome.usable for outcome in outcomes])
    if any(outcome.usable == 0 for outcome in outcomes):
        raise UserError("No scan can be used; the reasons stand above.")
    if any(outcome.left_out for outcome in outcomes):
        raise SystemExit(SOME_LEFT_OUT)


def plan(arguments: argparse.Namespace) -> None:
    """Make the plans that the data set lacks.

    Raises:
        UserError: it has such plans, or they cannot be made.
    """
    from nnunetv2_lwi.planning.plan_rules import require_dataset_json
    from nnunetv2_lwi.unlabelled.planning import plan_from_images, take_over_plans
    from nnunetv2_lwi.unlabelled.raw_scans import default_folder, scans_of

    name = find_dataset(arguments.dataset, [folder_of("nnUNet_raw")])
    raw = folder_of("nnUNet_raw") / name
    if arguments.plan_of is not None:
        take_over_plans(arguments.plan_of, raw, name, arguments.plans_name)
        print(f"Took over plans {arguments.plans_name} of data set {arguments.plan_of}.")
        return
    content = read_json(raw / "dataset.json", "write it: channel_names, labels (background alone will do) and file_ending")
    require_dataset_json(content)
    found = scans_of(arguments.folders or [default_folder(raw)], content)
    plan_from_images(raw, name, arguments.plans_name, content, found, arguments.processes, print)


def require_plans(arguments: argparse.Namespace) -> None:
    """Raises:
    UserError: there are none, nor labelled images for nnU-Net to plan from.
    """
    raw = folder_if_set("nnUNet_raw")
    if raw is None:
        return
    name = find_dataset(arguments.dataset, [raw, folder_of("nnUNet_preprocessed")])
    path = folder_of("nnUNet_preprocessed") / name / f"{arguments.plans_name}.json"
    if not path.is_file() and not (raw / name / "imagesTr").is_dir():
        raise UserError(
            f"There is no {path}, and the data set has no imagesTr: append --plan to plan from its images alone, or "
            "--plan-of DATASET to take over plans."
        )


def require_usable(target: Target) -> None:
    """Raises:
    UserError: the configuration is none that step 1 trains.
    """
    from nnunetv2_lwi.planning.configuration import count_channels, resolve_configuration

    count_channels(target.plans, resolve_configuration(target.plans, target.configuration), target.dataset_json)


def find(arguments: argparse.Namespace, dataset_name: str, dataset_json: dict[str, Any]) -> Found:
    """The raw scans, told in a line.

    Raises:
        UserError: there are none, or the folder is one of the data set's own.
    """
    from nnunetv2_lwi.unlabelled.raw_scans import default_folder, require_other_folders, scans_of

    raw = folder_if_set("nnUNet_raw")
    folders = arguments.folders or [default_folder(folder_of("nnUNet_raw") / dataset_name)]
    if raw is not None:
        require_other_folders(folders, raw / dataset_name)
    found = scans_of(folders, dataset_json)
    print(f"{len(found.scans) + len(found.incomplete)} scans without labels in {', '.join(map(str, folders))}.")
    return found


def read_tests(target: Target, processes: int) -> dict[str, Content]:
    """What the images of the data set's imagesTs show, where it has some; they are the same for every configuration.

    What cannot be compared with the scans is told.
    """
    from nnunetv2_lwi.unlabelled.raw_scans import other_entries, scans_if_any
    from nnunetv2_lwi.unlabelled.update import read_test_images

    raw = folder_if_set("nnUNet_raw")
    if raw is None or not (raw / target.dataset_name).is_dir():
        print(
            f"WARNING: {target.dataset_name} is not in nnUNet_raw, so that no scan is compared with its test images: where "
            "it has some, call this on a machine that has them, too."
        )
        return {}
    folder = raw / target.dataset_name / "imagesTs"
    cases = scans_if_any(folder, target.dataset_json)
    tests = read_test_images(target.plans, cases, processes)
    unknown = [case.name for case in cases if case.name not in tests] + other_entries(folder, cases)
    if unknown:
        told = shortened(unknown)
        print(f"WARNING: no scan is compared with {len(unknown)} entries of imagesTs, which cannot be read: {told}.")
    return tests


def bring_up_to_date(arguments: argparse.Namespace, target: Target, found: Found, tests: Mapping[str, Content]) -> Outcome:
    """Preprocess what is new for one configuration, and say what came of it.

    Args:
        tests: what the images of the test show.

    Raises:
        UserError: another command is at it, or the disk does not take what is written.
    """
    from nnunetv2_lwi.one_writer import OneWriter
    from nnunetv2_lwi.planning.configuration import count_channels, resolve_configuration
    from nnunetv2_lwi.unlabelled.folder import UnlabelledFolder
    from nnunetv2_lwi.unlabelled.preprocessing import Preparation
    from nnunetv2_lwi.unlabelled.update import update

    configuration = resolve_configuration(target.plans, target.configuration)
    dataset_folder = target.plans_file.parent
    folder = UnlabelledFolder.beside(dataset_folder, configuration.data_identifier)
    require_writable(dataset_folder, "set nnUNet_preprocessed to a folder that can be written to")
    writer = OneWriter(dataset_folder, f".{folder.path.name}.lock", "nnUNetv2_lwi unlabelled", "run this command again")
    writer.acquire()
    try:
        tell_room(target, folder.path, found)
        channels = count_channels(target.plans, configuration, target.dataset_json)
        preparation = Preparation(
            target.plans, target.configuration, target.dataset_json, channels, folder, tests, arguments.allow_test_images
        )
        outcome = update(preparation, found, arguments.processes, arguments.prune)
    finally:
        writer.release()
    tell(target, folder.path, outcome)
    return outcome


def tell_room(target: Target, folder: Path, found: Found) -> None:
    """About how much the preprocessed scans take, by what labelled cases take or, without any, uncompressed."""
    import shutil

    from nnunetv2_lwi.unlabelled.room import bytes_per_scan

    each = bytes_per_scan(target)
    if each is None:
        return
    needed, free = each * len(found.scans), shutil.disk_usage(target.plans_file.parent).free
    print(f"Preprocessed they take about {needed / 2**30:.2f} GiB in {folder}; {free / 2**30:.2f} GiB are free.")
    if needed > free:
        print("WARNING: that is more than is free. What is made stays, and the same command goes on when there is room.")


def tell_next(targets: Sequence[Target], usable: Sequence[int]) -> None:
    """The command that learns from the scans."""
    from nnunetv2_lwi.nnunet.inheritance import resolve
    from nnunetv2_lwi.unlabelled.alone import is_alone, on_scans_alone

    ready = [target for target, number in zip(targets, usable, strict=True) if number]
    if ready:
        print("Next:")
    for target in ready:
        words = f"{target.dataset_name} {target.configuration}"
        if is_alone(resolve(on_scans_alone(target.plans, target.configuration), target.configuration)):
            print(f"  nnUNetv2_train {words} all -p {target.plans_name} -tr {STEP1_TRAINER}")
        else:
            print(f"  nnUNetv2_lwi train {words} 0 -p {target.plans_name}")


def tell(target: Target, folder: Path, outcome: Outcome) -> None:
    """What can be used, what cannot, and what comes next."""
    for name, reason in list(outcome.left_out.items())[:MOST_LINES]:
        print(f"Left out: {name}: {reason}.")
    if len(outcome.left_out) > MOST_LINES:
        print(f"Left out: {len(outcome.left_out) - MOST_LINES} more; every one stands in {folder}.jsonl.")
    for name, case in list(outcome.test_images.items())[:MOST_LINES]:
        print(f"Left out: {name}: it is the image of {case} in imagesTs (--allow-test-images keeps it, and results say so).")
    if outcome.orphans:
        print(
            f"{len(outcome.orphans)} scans made earlier are not in these folders; they stay in use (--prune removes them)."
        )
    if outcome.removed:
        print(f"{len(outcome.removed)} scans whose files are no longer there were removed.")
    print(
        f"{target.configuration}: {outcome.usable} scans without labels for step 1 ({len(outcome.made)} preprocessed now), "
        f"{len(outcome.left_out) + len(outcome.test_images)} left out ({folder})."
    )
