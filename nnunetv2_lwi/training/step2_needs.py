"""What step 2 needs: a finished step 1; and what it would meet only after hours, looked at before step 1 begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.names import FINAL, IN_ORDER_OF_RESUMING, STEP1_TRAINER
from nnunetv2_lwi.nnunet.contents import read_extreme_labels
from nnunetv2_lwi.nnunet.inheritance import resolve
from nnunetv2_lwi.nnunet.target import Target
from nnunetv2_lwi.planning.configuration import label_manager
from nnunetv2_lwi.training.loading.checked_voxels import LOWEST_LABEL, not_declared


def problems_of_step2(target: Target) -> Iterator[str]:
    """Each reason why a step 2 of the target would not come to its end, as a sentence with its remedy."""
    yield from _gap_in_labels(label_manager(target.plans, target.dataset_json))
    yield from _reader(target.plans, str(target.dataset_json["file_ending"]))
    yield from _missing_labels(target)


def require_step2(target: Target) -> None:
    """Raises:
    UserError: a step 2 of the target would not come to its end.
    """
    for problem in problems_of_step2(target):
        raise UserError(problem)


def require_declared_labels(target: Target) -> None:
    """Every preprocessed segmentation is read, once, for values that dataset.json does not declare.

    Raises:
        UserError: there are some.
    """
    identifier = resolve(target.plans, target.configuration)["data_identifier"]
    highest = highest_label(label_manager(target.plans, target.dataset_json))
    for case, (low, high) in read_extreme_labels(target.plans_file.parent / identifier).items():
        if low < LOWEST_LABEL or high > highest:
            raise not_declared(case, low if low < LOWEST_LABEL else high)


def finished_step1(target: Target, device: torch.device) -> Path:
    """The checkpoint of the step 1 of the same data set, plans, configuration and fold.

    Raises:
        UserError: there is none.
    """
    folder = target.output_folder(STEP1_TRAINER)
    final = folder / FINAL
    if final.is_file():
        return final
    begun = any((folder / name).is_file() for name in IN_ORDER_OF_RESUMING)
    more, state = (("--c",), "not finished") if begun else ((), "missing")
    raise UserError(
        f"Step 1 of this data set, plans, configuration and fold is {state} ({final}). Run "
        f"{step1_command(target, device, *more)} first; or give -pretrained_weights CHECKPOINT; or set "
        '"start": "random" in lwi.seg of the plan to train without step 1.'
    )


def step1_command(target: Target, device: torch.device, *more: str) -> str:
    """The stock command that trains it."""
    plans = () if target.plans_name == "nnUNetPlans" else ("-p", target.plans_name)
    on = () if device.type == "cuda" else ("-device", device.type)
    words = ("nnUNetv2_train", target.dataset_name, target.configuration, str(target.fold), "-tr", STEP1_TRAINER)
    return " ".join((*words, *plans, *on, *more))


def highest_label(manager: LabelManager) -> int:
    """The highest value that dataset.json declares, the label to ignore included."""
    return int(max([*manager.all_labels, *([manager.ignore_label] if manager.has_ignore_label else [])]))


def _gap_in_labels(manager: LabelManager) -> Iterator[str]:
    """nnU-Net counts the labels and takes their number for the highest; regions may be of any values."""
    missing = [] if manager.has_regions else sorted(set(range(highest_label(manager))) - set(manager.all_labels))
    if missing:
        yield (
            f"dataset.json declares labels up to {highest_label(manager)} but not {shortened(list(map(str, missing)))}, and "
            "nnU-Net wants them without gaps: renumber the labels, in the files too, and preprocess again."
        )


def _reader(plans: dict[str, Any], ending: str) -> Iterator[str]:
    """What nnU-Net reads and writes images with, which other packages may bring."""
    name = plans.get("image_reader_writer")
    if name is None:
        return
    try:
        reader = PlansManager(plans).image_reader_writer_class
    except (RuntimeError, ImportError) as error:
        yield f"The plan reads images with {name}, which cannot be found ({error}): install what it needs, or plan again."
        return
    if ending.lower() not in reader.supported_file_endings:
        yield (
            f"dataset.json says file_ending {ending}, which {name} of the plan does not read "
            f"({', '.join(reader.supported_file_endings)}): correct it, or plan again."
        )


def _missing_labels(target: Target) -> Iterator[str]:
    """nnU-Net's final validation compares with the labels as they were before preprocessing."""
    folder, ending, cases = target.plans_file.parent / "gt_segmentations", target.dataset_json["file_ending"], target.cases()
    again = f"run nnUNetv2_preprocess -d {target.dataset_name} -plans_name {target.plans_name} -c {target.configuration}"
    if not folder.is_dir():
        yield f"There is no {folder}, which the final validation of step 2 compares with: {again}."
        return
    missing = [case for case in (cases.val if cases else ()) if not (folder / f"{case}{ending}").is_file()]
    if missing:
        yield f"{folder} lacks labels of {len(missing)} validation cases: {shortened(missing)}. Put them there, or {again}."
