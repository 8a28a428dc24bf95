"""Plans for a data set without labels, or with too few: by nnU-Net's own fingerprint and planner, from images alone.

nnU-Net takes intensities from the foreground of the labels. Here masks stand in for the labels: the body where there is a
CT, and what is not zero elsewhere. Its commands are run on a raw data set made for that, which names the images where they
lie; only the masks are written, beside the preprocessed data, and are removed in the end.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
from nnunetv2.preprocessing.normalization.map_channel_name_to_normalization import get_normalization_scheme
from numpy.typing import NDArray
from scipy.ndimage import label
from tqdm import tqdm

from nnunetv2_lwi.disk import read_json, write_json
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.commands import nnunet_environment, run_command, shell_line, stock_command
from nnunetv2_lwi.nnunet.dataset_json import channel_names
from nnunetv2_lwi.nnunet.folders import folder_of, number_of, preprocessed_folder
from nnunetv2_lwi.nnunet.whole_files import problem_of_file
from nnunetv2_lwi.unlabelled.fitness import problem_of
from nnunetv2_lwi.unlabelled.raw_scans import Found, RawScan, scans_if_any

TEMPORARY = ".planning_"
"""Begins the name of the folder that nnU-Net's commands work in."""
FINGERPRINT = "dataset_fingerprint.json"
FINGERPRINT_OF = "fingerprint_of"
"""Key of a plans file that says what its figures were taken from."""
BODY_FROM = -500.0
"""Hounsfield units; air and lungs are below."""
CT = "CTNormalization"


def plan_from_images(
    raw: Path,
    name: str,
    plans_name: str,
    dataset_json: Mapping[str, Any],
    found: Found,
    processes: int,
    say: Callable[[str], None],
) -> None:
    """Write fingerprint, plans and dataset.json of a data set to nnUNet_preprocessed.

    Args:
        raw: the data set in nnUNet_raw; the images of its imagesTr, if any, count too.
        name: of the data set.
        found: its scans without labels.
        say: tells the user a line.

    Raises:
        UserError: there are such plans, no scan can be read, or nnU-Net's command failed.
    """
    folder = folder_of("nnUNet_preprocessed") / name
    _require_no_plans(folder, plans_name)
    scans = [*found.scans, *scans_if_any(raw / "imagesTr", dataset_json)]
    if not scans:
        raise UserError("There is no scan with a file for every channel to plan from.")
    folder.mkdir(parents=True, exist_ok=True)
    for left_by_a_kill in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(left_by_a_kill, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as temporary:
        problems = _write_masks(scans, dataset_json, Path(temporary), processes)
        for scan, problem in zip(scans, problems, strict=True):
            if problem is not None:
                say(f"Not planned with: {scan.name}: {problem}.")
        usable = {_number(n): scan for n, scan in enumerate(scans) if problems[n] is None}
        if not usable:
            raise UserError("None of the scans can be used to plan; the reasons stand above.")
        stand_in = _stand_in(dataset_json, usable, Path(temporary))
        places = {variable: Path(temporary) / variable for variable in ("nnUNet_raw", "nnUNet_preprocessed")}
        for place in places.values():
            (place / name).mkdir(parents=True)
        write_json(places["nnUNet_raw"] / name / "dataset.json", stand_in)
        number = str(number_of(name))
        for words in (
            ("nnUNetv2_extract_fingerprint", "-d", number, "-np", str(processes), "--clean"),
            ("nnUNetv2_plan_experiment", "-d", number, "-overwrite_plans_name", plans_name),
        ):
            command = stock_command(*words)
            say(shell_line(command))
            _run(command, places)
        planned = places["nnUNet_preprocessed"] / name
        write_json(folder / "dataset.json", dict(dataset_json))
        (planned / FINGERPRINT).replace(folder / FINGERPRINT)
        plans = read_json(planned / f"{plans_name}.json", "plan again")
        write_json(folder / f"{plans_name}.json", {**plans, FINGERPRINT_OF: _source_of_figures(len(usable), dataset_json)})
    say(f"Once there are labels: nnUNetv2_extract_fingerprint -d {number} --clean, then plan again.")


def take_over_plans(source: str, raw: Path, name: str, plans_name: str) -> None:
    """The plans of another data set; fingerprint and all figures are that data set's.

    nnU-Net's nnUNetv2_move_plans_between_datasets does the same for a data set with labelled cases.

    Args:
        source: name or number of the other data set.

    Raises:
        UserError: there are such plans already, or the images are of another format.
    """
    folder, theirs = folder_of("nnUNet_preprocessed") / name, preprocessed_folder(source)
    _require_no_plans(folder, plans_name)
    dataset_json = read_json(raw / "dataset.json", "write it")
    fingerprint = read_json(theirs / "dataset_fingerprint.json", f"run nnUNetv2_extract_fingerprint -d {source}")
    plans = read_json(theirs / f"{plans_name}.json", "name other plans with -p")
    ending, other = (
        content.get("file_ending") for content in (dataset_json, read_json(theirs / "dataset.json", "plan it again"))
    )
    if ending != other:
        raise UserError(f"--plan-of {source}: its images are {other} files, here {ending}, which its reader may not read.")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FINGERPRINT, fingerprint)
    write_json(folder / "dataset.json", dataset_json)
    write_json(folder / f"{plans_name}.json", {**plans, "dataset_name": name, FINGERPRINT_OF: f"that of {theirs.name}"})


def body_mask(image: NDArray[Any], schemes: Sequence[str]) -> NDArray[np.uint8]:
    """Where intensities are taken from, (D, H, W): the largest connected part above air in a CT, else what is not zero.

    Args:
        image: (C, D, H, W).
        schemes: the normalization that nnU-Net chooses for each channel.
    """
    if CT not in schemes:
        return (image != 0).any(axis=0).astype(np.uint8)
    parts, count = label(image[list(schemes).index(CT)] > BODY_FROM)
    if count == 0:
        return np.zeros(image.shape[1:], np.uint8)
    largest = np.bincount(parts.ravel())[1:].argmax() + 1
    return (parts == largest).astype(np.uint8)


def _require_no_plans(folder: Path, plans_name: str) -> None:
    path = folder / f"{plans_name}.json"
    if path.is_file():
        raise UserError(f"{path} is there already: leave --plan or --plan-of out, or name other plans with -p.")
    if (folder / FINGERPRINT).is_file():
        raise UserError(
            f"{folder / FINGERPRINT} is there already, from which nnUNetv2_plan_experiment plans: --plan and --plan-of "
            "would replace it by another. Move it away if that is meant."
        )


def _number(index: int) -> str:
    """What a scan is called meanwhile: one without labels may have the name of one with."""
    return f"scan_{index:05d}"


def _write_masks(
    scans: Sequence[RawScan], dataset_json: Mapping[str, Any], folder: Path, processes: int
) -> list[str | None]:
    """A mask for each scan; why there is none, where there is none."""
    work = partial(_write_mask, dataset_json, folder)
    with ProcessPoolExecutor(min(processes, len(scans)), multiprocessing.get_context("spawn")) as pool:
        return list(tqdm(pool.map(work, range(len(scans)), scans), "Looking at images", total=len(scans), disable=None))


def _write_mask(dataset_json: Mapping[str, Any], folder: Path, index: int, scan: RawScan) -> str | None:
    """Why there is none, in words; None where it was written."""
    names = channel_names(dataset_json)
    try:
        for file_problem in filter(None, map(problem_of_file, scan.files)):
            return file_problem
        reader = determine_reader_writer_from_dataset_json(dict(dataset_json), str(scan.files[0]), verbose=False)()
        image, properties = reader.read_images(list(map(str, scan.files)))
    except MemoryError:
        raise
    except Exception as error:
        return f"it cannot be read ({' '.join(str(error).split())[:200]})"
    problem = problem_of(image, properties["spacing"], len(names), None)
    if problem is None:
        mask = body_mask(image, [get_normalization_scheme(names[str(channel)]).__name__ for channel in range(len(names))])
        reader.write_seg(mask, str(folder / f"{_number(index)}{dataset_json['file_ending']}"), properties)
    return problem


def _stand_in(dataset_json: Mapping[str, Any], scans: Mapping[str, RawScan], masks: Path) -> dict[str, Any]:
    """The dataset.json that nnU-Net's commands read, with each image and its mask where they lie."""
    ending = dataset_json["file_ending"]
    return {
        **dataset_json,
        "numTraining": len(scans),
        "dataset": {
            number: {"images": [str(path.absolute()) for path in scan.files], "label": str(masks / f"{number}{ending}")}
            for number, scan in scans.items()
        },
    }


def _run(command: Sequence[str], places: Mapping[str, Path]) -> None:
    """One of nnU-Net's commands, in other folders than the user's.

    Raises:
        UserError: it failed.
    """
    workers = os.environ.get("nnUNet_n_proc_DA")
    one_at_least = {"nnUNet_n_proc_DA": "1"} if workers == "0" else {}  # which the planner takes for a number of threads
    code = run_command(command, nnunet_environment(**places, **one_at_least))
    if code != 0:
        raise UserError(f"{Path(command[0]).name} ended with exit code {code}; the reason stands above.")


def _source_of_figures(scans: int, dataset_json: Mapping[str, Any]) -> str:
    """What the plans' figures were taken from, in words."""
    has_ct = any(get_normalization_scheme(channel).__name__ == CT for channel in channel_names(dataset_json).values())
    where = f"from inside the body (above {BODY_FROM:g} HU)" if has_ct else "from what is not zero"
    return f"{scans} images, no labels; intensities {where}"
