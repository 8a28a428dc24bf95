"""Scores of a finished step 2: Dice from nnU-Net's own summary.json, HD95 from MONAI, with and without mirroring."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.evaluation.evaluate_predictions import (
    compute_metrics_on_folder,
    key_to_label_or_region,
    region_or_label_to_mask,
)
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from numpy.typing import NDArray
from torch import nn

from nnunetv2_lwi.comparison.source import LabelledImages
from nnunetv2_lwi.comparison.workplace import Workplace
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.checkpoint import read_checkpoint
from nnunetv2_lwi.names import FINAL
from nnunetv2_lwi.networks.build import build_network
from nnunetv2_lwi.planning.configuration import count_channels

Scores = dict[str, dict[str, dict[str, float | None]]]
"""By case, by class name: Dice (0 to 1) and HD95 (mm); None where a class is in neither, or HD95 not defined."""
ScoresByKind = dict[str, dict[str, Scores]]
"""By cases (validation, test) and by mirroring (plain, mirrored)."""
Kind = tuple[str, str]
"""Cases and mirroring."""

VALIDATION, TEST = "validation", "test"
PLAIN, MIRRORED = "plain", "mirrored"
PERCENTILE = 95


def wanted(place: Workplace) -> dict[Kind, LabelledImages]:
    """What is to be scored: the validation cases, and the test cases where there are some.

    The mirrored predictions of the validation cases are nnU-Net's own final validation and need no images; the others are
    predicted here from the raw images, where those are at hand.
    """
    training, test = place.source.training_images, place.source.test_images
    cases = place.training.val_cases
    labels = {case: str(place.dataset / "gt_segmentations" / f"{case}{place.source.file_ending}") for case in cases}
    found = {(VALIDATION, MIRRORED): LabelledImages({}, labels)}
    if training is not None and set(cases) <= training.images.keys():
        found[VALIDATION, PLAIN] = LabelledImages({case: training.images[case] for case in cases}, labels)
    if test is not None:
        found[TEST, PLAIN] = test
        if place.predicts_mirrored:
            found[TEST, MIRRORED] = test
    return found


def missing(place: Workplace, result: Mapping[str, Any]) -> dict[Kind, LabelledImages]:
    """What is to be scored and has no score yet, or test cases whose files have changed since.

    Args:
        result: with ``scores`` and ``scored_files``, as :func:`score` gives them.
    """
    return {kind: labelled for kind, labelled in wanted(place).items() if not _is_scored(kind, labelled, result)}


def _is_scored(kind: Kind, labelled: LabelledImages, result: Mapping[str, Any]) -> bool:
    """The files of validation cases are in the training's key, by way of what was preprocessed from them."""
    (cases, how), names = kind, labelled.labels.keys()
    files = result.get("scored_files", {}).get(how, {})
    unchanged = cases != TEST or all(files.get(case) == labelled.digest(case) for case in names)
    return unchanged and names <= result.get("scores", {}).get(cases, {}).get(how, {}).keys()


def score(place: Workplace, device: str, result: dict[str, Any]) -> None:
    """Add every score of a finished step 2 to its result; what an earlier call scored is not scored again.

    Args:
        result: gets ``scores``, and in ``scored_files`` digests of the test cases' files, by mirroring and case; what was
            scored before an error stands in it.

    Raises:
        UserError: a label has not the shape of its image.
    """
    scores: ScoresByKind = result.setdefault("scores", {})
    files: dict[str, dict[str, str]] = result.setdefault("scored_files", {})
    with place.log.open("a") as log, contextlib.redirect_stdout(log):
        left = missing(place, result)
        predictor = make_predictor(place, device) if any(labelled.images for labelled in left.values()) else None
        for (cases, how), labelled in left.items():
            folder = predictions_folder(place, cases, how)
            digests = {case: labelled.digest(case) for case in labelled.labels} if cases == TEST else {}
            if labelled.images and predictor is not None:
                _predict(predictor, folder, how, labelled)
            try:
                scores.setdefault(cases, {})[how] = read_scores(place, folder, labelled.labels)
            except ValueError as error:
                raise UserError(
                    f"The {cases} cases could not be scored ({error}): does each label have the shape of its image?"
                ) from error
            files |= {how: digests} if digests else {}


def predictions_folder(place: Workplace, cases: str, mirroring: str) -> Path:
    """Where the predictions lie."""
    if (cases, mirroring) == (VALIDATION, MIRRORED):
        return place.fold_folder / "validation"
    return place.folder / "predictions" / f"{cases}_{mirroring}"


def make_predictor(place: Workplace, device: str) -> nnUNetPredictor:
    """nnU-Net's predictor with the final weights, read without unpickling."""
    checkpoint = read_checkpoint(place.fold_folder / FINAL)
    manager = PlansManager(place.plans())
    configuration = manager.get_configuration(place.configuration_name)
    channels = count_channels(place.plans(), configuration, place.source.dataset_json)
    network = build_network(configuration, channels, place.source.label_manager.num_segmentation_heads)
    _one_output(network)
    predictor = nnUNetPredictor(device=torch.device(device), perform_everything_on_device=device == "cuda", allow_tqdm=False)
    predictor.manual_initialization(
        network,
        manager,
        configuration,
        [checkpoint["network_weights"]],
        place.source.dataset_json,
        checkpoint["trainer_name"],
        checkpoint["inference_allowed_mirroring_axes"],
    )
    return predictor


def _one_output(network: nn.Module) -> None:
    network.decoder.deep_supervision = False  # type: ignore[union-attr,assignment]


def _predict(predictor: nnUNetPredictor, folder: Path, how: str, labelled: LabelledImages) -> None:
    """Write the predictions; an earlier try, which a kill may have cut short or which had other cases, is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    predictor.use_mirroring = how == MIRRORED
    names = sorted(labelled.images)
    predictor.predict_from_files_sequential(
        [labelled.images[name] for name in names], [str(folder / name) for name in names]
    )


def read_scores(place: Workplace, folder: Path, labels: Mapping[str, str]) -> Scores:
    """Dice of nnU-Net's summary.json of a folder of predictions, made if it is not there, and HD95 of the same files."""
    summary = folder / "summary.json"
    reader = PlansManager(place.source.plans).image_reader_writer_class()
    names = place.source.class_names()
    if not summary.is_file():
        compute_metrics_on_folder(
            os.path.dirname(next(iter(labels.values()))),
            str(folder),
            str(summary),
            reader,
            place.source.file_ending,
            [key_to_label_or_region(key) for key in names],
            place.source.label_manager.ignore_label,
            num_processes=1,
        )
    scores: Scores = {}
    for entry in json.loads(summary.read_text(encoding="utf-8"))["metric_per_case"]:
        case = Path(entry["prediction_file"]).name.removesuffix(place.source.file_ending)
        truth, _ = reader.read_seg(labels[case])
        prediction, properties = reader.read_seg(str(folder / f"{case}{place.source.file_ending}"))
        scores[case] = {
            name: {
                "Dice": _finite(entry["metrics"][key]["Dice"]),
                "HD95": hd95(prediction[0], truth[0], key, properties["spacing"], place.source.label_manager.ignore_label),
            }
            for key, name in names.items()
        }
    return scores


def hd95(
    prediction: NDArray[Any], truth: NDArray[Any], key: str, spacing: list[float], ignore_label: int | None = None
) -> float | None:
    """95th percentile of the Hausdorff distance in mm; None where the class is missing in either.

    Args:
        prediction: (D, H, W) labels.
        truth: (D, H, W) labels.
        key: the label or region, as in nnU-Net's summary.json.
        spacing: (D, H, W) in mm.
        ignore_label: voxels that do not count.
    """
    from monai.metrics import compute_hausdorff_distance

    counts = np.ones(truth.shape, bool) if ignore_label is None else truth != ignore_label
    masks = [region_or_label_to_mask(volume, key_to_label_or_region(key)) & counts for volume in (prediction, truth)]
    if not all(mask.any() for mask in masks):
        return None
    tensors = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in masks]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        distance = compute_hausdorff_distance(*tensors, include_background=True, percentile=PERCENTILE, spacing=spacing)
    return _finite(float(distance))


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
