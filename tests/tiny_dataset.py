"""A preprocessed data set of tiny cases, written as nnU-Net's preprocessing leaves it: no planning, no files to read."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from tests.networks_for_tests import REQUIRE_IMPORT, UNET, unet_kwargs

NAME = "Dataset999_Tiny"
PATCH = [8, 16, 16]
STRIDES = [[1, 1, 1], [2, 2, 2], [2, 2, 2]]
CASES = 5


@dataclass(frozen=True)
class TinyDataset:
    """nnU-Net's folders with the data set in them."""

    preprocessed: Path
    results: Path
    plans: dict[str, Any]
    dataset_json: dict[str, Any]

    def trainer(self, cls: type, fold: int | str = 0, configuration: str = "3d_fullres", **lwi: Any) -> Any:
        """A trainer as nnU-Net's run script makes it; settings go into the plan's ``lwi`` block."""
        plans = deepcopy(self.plans)
        plans["configurations"]["3d_fullres"]["lwi"] |= lwi
        plans["continue_training"] = False
        return cls(plans, configuration, fold, self.dataset_json, torch.device("cpu"))

    def output_folder(self, trainer: str, fold: int | str = 0) -> Path:
        """Where a trainer writes."""
        return self.results / NAME / f"{trainer}__nnUNetPlans__3d_fullres" / f"fold_{fold}"


def short_settings() -> dict[str, Any]:
    """Two epochs of two iterations, seeded."""
    step = {"epochs": 2, "lr": 1e-2}
    return {"init": dict(step), "seg": dict(step), "iterations_per_epoch": 2, "val_iterations_per_epoch": 1, "seed": 3}


def make_plans(channels: int, use_mask_for_norm: bool) -> dict[str, Any]:
    """What nnU-Net's planner would write, for a small PlainConvUNet."""
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": PATCH,
        "median_image_size_in_voxels": [12.0, 20.0, 18.0],
        "spacing": [2.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [use_mask_for_norm] * channels,
        **{f"resampling_fn_{kind}": "resample_data_or_seg_to_shape" for kind in ("data", "seg", "probabilities")},
        **{
            f"resampling_fn_{kind}_kwargs": {"is_seg": kind == "seg", "order": 1, "order_z": 0, "force_separate_z": None}
            for kind in ("data", "seg", "probabilities")
        },
        "architecture": {
            "network_class_name": f"{UNET}.PlainConvUNet",
            "arch_kwargs": unet_kwargs(STRIDES),
            "_kw_requires_import": REQUIRE_IMPORT,
        },
        "batch_dice": False,
        "lwi": short_settings(),
    }
    second_stage = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    other_spacing = {"inherits_from": "3d_fullres", "spacing": [3.0, 1.0, 1.0]}
    two_d = {**configuration, "patch_size": PATCH[1:], "spacing": [1.0, 1.0]}
    return {
        "dataset_name": NAME,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [2.0, 1.0, 1.0],
        "original_median_shape_after_transp": [12, 20, 18],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {
            "3d_fullres": configuration,
            "3d_cascade_fullres": second_stage,
            "2d": two_d,
            "other_spacing": other_spacing,
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {},
    }


def make_case(number: int, channels: int, ignore_label: bool) -> tuple[np.ndarray, np.ndarray]:
    """An image (C, D, H, W) whose slices differ along depth, and a segmentation (1, D, H, W) with -1 outside."""
    rng = np.random.default_rng(number)
    shape = (11 + number % 3, 19, 17)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, edge) for edge in shape], indexing="ij")
    image = np.stack([np.sin(3 * z + c) + z * y + 0.3 * rng.standard_normal(shape) for c in range(channels)])
    segmentation = np.zeros(shape, np.int16)
    segmentation[(z - 0.3) ** 2 + y**2 + x**2 < 0.3] = 1
    segmentation[(z + 0.4) ** 2 + (y - 0.2) ** 2 + x**2 < 0.2] = 2
    if ignore_label:
        segmentation[:, :6] = 3
    segmentation[np.abs(x) > 0.8] = -1
    return image.astype(np.float32), segmentation[None]


def class_locations(segmentation: np.ndarray, ignore_label: bool) -> dict[Any, np.ndarray]:
    """As nnU-Net's preprocessing stores them."""
    labels: list[Any] = [1, 2]
    locations = {label: np.argwhere(segmentation == label) for label in labels}
    if ignore_label:
        locations[(-1, 0, 1, 2)] = np.argwhere(segmentation != 3)
    return locations


def scramble(segmentation: np.ndarray, seed: int = 7) -> np.ndarray:
    """Other labels at every voxel inside the nonzero mask."""
    random = np.random.default_rng(seed).integers(0, 3, segmentation.shape, dtype=np.int16)
    return np.where(segmentation < 0, segmentation, random)


def write_tiny_dataset(
    root: Path,
    *,
    channels: int = 1,
    ignore_label: bool = False,
    use_mask_for_norm: bool = False,
    scrambled: bool = False,
) -> TinyDataset:
    """Write the data set below ``root``; ``scrambled`` gives the same images with other labels and locations."""
    folder = root / "preprocessed" / NAME
    plans = make_plans(channels, use_mask_for_norm)
    labels = {"background": 0, "one": 1, "two": 2} | ({"ignore": 3} if ignore_label else {})
    dataset_json = {
        "channel_names": {str(c): f"MRI{c}" for c in range(channels)},
        "labels": labels,
        "numTraining": CASES,
        "file_ending": ".nii.gz",
    }
    data_folder = folder / "nnUNetPlans_3d_fullres"
    data_folder.mkdir(parents=True)
    (root / "results").mkdir()
    for number in range(CASES):
        image, segmentation = make_case(number, channels, ignore_label)
        if scrambled:
            segmentation = scramble(segmentation)
        properties = {"class_locations": class_locations(segmentation, ignore_label), "spacing": [2.0, 1.0, 1.0]}
        chunks = (1, *image.shape[1:])
        nnUNetDatasetBlosc2.save_case(
            image, segmentation, properties, str(data_folder / f"case_{number}"), chunks, chunks, chunks, chunks
        )
    save_json(plans, str(folder / "nnUNetPlans.json"), sort_keys=False)
    save_json(dataset_json, str(folder / "dataset.json"), sort_keys=False)
    save_json({}, str(folder / "dataset_fingerprint.json"))
    return TinyDataset(root / "preprocessed", root / "results", plans, dataset_json)
