"""A preprocessed data set of tiny cases, written as nnU-Net's preprocessing leaves it: no planning, no files to read."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from nnunetv2_lwi.nnunet.contents import read_content
from nnunetv2_lwi.unlabelled.folder import CASE_ENDINGS, Entry, UnlabelledFolder
from nnunetv2_lwi.unlabelled.preparation import made_for
from tests.networks_for_tests import REQUIRE_IMPORT, UNET, unet_kwargs

NAME = "Dataset999_Tiny"
PATCH = (8, 16, 16)
STRIDES = [[1, 1, 1], [2, 2, 2], [2, 2, 2]]
CASES = 5
FIRST_SCAN = 100
"""Number of the first scan without labels, as the cases have theirs from 0 on."""
INTENSITIES = {"mean": 0.0, "std": 1.0, "percentile_00_5": -3.0, "percentile_99_5": 3.0}
SHAPE = (12, 19, 17)


@dataclass(frozen=True)
class Options:
    """What the data sets that nnU-Net distinguishes differ in, and the network that is planned for them."""

    channels: int = 1
    ignore_label: bool = False
    regions: bool = False
    """Labels are overlapping regions: "whole" is 1 and 2, "core" is 2."""
    use_mask_for_norm: bool = False
    """In the first channel; a second one never has it."""
    scrambled: bool = False
    """The same images with other labels and locations."""
    foreground: bool = True
    cases: int = CASES
    scans: int = 0
    """Without labels, beside the cases; they go by the cases' names."""
    shape: tuple[int, int, int] = SHAPE
    """Of the preprocessed image whose number is 1; the depth of the others is up to 1 less or more."""
    transpose_forward: tuple[int, int, int] = (0, 1, 2)
    patch_size: tuple[int, int, int] = PATCH
    batch_size: int = 2
    arch_kwargs: dict[str, Any] = field(default_factory=lambda: unet_kwargs(STRIDES))
    residual: bool = False

    @property
    def labels(self) -> dict[str, Any]:
        """As in dataset.json."""
        named = {"whole": [1, 2], "core": 2} if self.regions else {"one": 1, "two": 2}
        return {"background": 0, **named} | ({"ignore": 3} if self.ignore_label else {})


DEFAULT = Options()


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

    def write_plans(self, **lwi: Any) -> None:
        """Settings into the ``lwi`` block of the plans, here and in the file."""
        self.plans["configurations"]["3d_fullres"]["lwi"] |= lwi
        save_json(self.plans, str(self.folder / "nnUNetPlans.json"), sort_keys=False)

    @property
    def folder(self) -> Path:
        """The preprocessed data set."""
        return self.preprocessed / NAME

    @property
    def cases(self) -> Path:
        """Its preprocessed cases."""
        return self.folder / "nnUNetPlans_3d_fullres"

    @property
    def scans(self) -> UnlabelledFolder:
        """Where its preprocessed scans without labels are."""
        return UnlabelledFolder.beside(self.folder, "nnUNetPlans_3d_fullres")

    def output_folder(self, trainer: str, fold: int | str = 0) -> Path:
        """Where a trainer writes."""
        return self.results / NAME / f"{trainer}__nnUNetPlans__3d_fullres" / f"fold_{fold}"


def short_settings() -> dict[str, Any]:
    """Two epochs of two iterations, seeded, both objectives."""
    step = {"epochs": 2, "lr": 1e-2}
    short = {"iterations_per_epoch": 2, "val_iterations_per_epoch": 1}
    return {"order_weight": 0.1, "init": dict(step), "seg": dict(step), **short, "seed": 3}


def make_plans(**chosen: Any) -> dict[str, Any]:
    """What nnU-Net's planner would write for the :class:`Options`."""
    options = Options(**chosen)
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": options.batch_size,
        "patch_size": list(options.patch_size),
        "median_image_size_in_voxels": [12.0, 20.0, 18.0],
        "spacing": [2.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization", "CTNormalization", "NoNormalization"][: options.channels],
        "use_mask_for_norm": [options.use_mask_for_norm, False, False][: options.channels],
        **{f"resampling_fn_{kind}": "resample_data_or_seg_to_shape" for kind in ("data", "seg", "probabilities")},
        **{
            f"resampling_fn_{kind}_kwargs": {"is_seg": kind == "seg", "order": 1, "order_z": 0, "force_separate_z": None}
            for kind in ("data", "seg", "probabilities")
        },
        "architecture": {
            "network_class_name": f"{UNET}.{'ResidualEncoderUNet' if options.residual else 'PlainConvUNet'}",
            "arch_kwargs": options.arch_kwargs,
            "_kw_requires_import": REQUIRE_IMPORT,
        },
        "batch_dice": False,
        "lwi": short_settings(),
    }
    second_stage = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    other_spacing = {"inherits_from": "3d_fullres", "spacing": [3.0, 1.0, 1.0]}
    two_d = {**configuration, "patch_size": list(options.patch_size[1:]), "spacing": [1.0, 1.0]}
    return {
        "dataset_name": NAME,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [2.0, 1.0, 1.0],
        "original_median_shape_after_transp": [12, 20, 18],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(options.transpose_forward),
        "transpose_backward": [options.transpose_forward.index(axis) for axis in range(3)],
        "configurations": {
            "3d_fullres": configuration,
            "3d_cascade_fullres": second_stage,
            "2d": two_d,
            "other_spacing": other_spacing,
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(channel): dict(INTENSITIES) for channel in range(options.channels)
        },
    }


def make_case(number: int, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """An image (C, D, H, W) whose slices differ along depth, and a segmentation (1, D, H, W) with -1 outside."""
    rng = np.random.default_rng(number)
    depth, height, width = options.shape
    shape = (max(1, depth - 1 + number % 3), height, width)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, edge) for edge in shape], indexing="ij")
    image = np.stack([np.sin(3 * z + c) + z * y + 0.3 * rng.standard_normal(shape) for c in range(options.channels)])
    segmentation = np.zeros(shape, np.int16)
    if options.foreground:
        segmentation[(z - 0.3) ** 2 + y**2 + x**2 < 0.3] = 1
        segmentation[(z + 0.4) ** 2 + (y - 0.2) ** 2 + x**2 < 0.2] = 2
    if options.ignore_label:
        segmentation[:, : height // 3] = 3
    segmentation[np.abs(x) > 0.8] = -1
    return image.astype(np.float32), segmentation[None]


def class_locations(segmentation: np.ndarray, options: Options) -> dict[Any, np.ndarray]:
    """As nnU-Net's preprocessing stores them."""
    keys: list[Any] = [(1, 2), 2] if options.regions else [1, 2]
    keys += [(-1, 0, 1, 2)] if options.ignore_label else []
    return {key: np.argwhere(np.isin(segmentation, key)) for key in keys}


def scramble(segmentation: np.ndarray, seed: int = 7) -> np.ndarray:
    """Other labels at every voxel inside the nonzero mask."""
    random = np.random.default_rng(seed).integers(0, 3, segmentation.shape, dtype=np.int16)
    return np.where(segmentation < 0, segmentation, random)


def write_tiny_dataset(root: Path, **chosen: Any) -> TinyDataset:
    """Write the data set that the :class:`Options` describe below ``root``."""
    options = Options(**chosen)
    folder = root / "preprocessed" / NAME
    plans = make_plans(**chosen)
    dataset_json = {
        "channel_names": {str(c): f"MRI{c}" for c in range(options.channels)},
        "labels": options.labels,
        "numTraining": options.cases,
        "file_ending": ".nii.gz",
    } | ({"regions_class_order": [1, 2]} if options.regions else {})
    data_folder = folder / "nnUNetPlans_3d_fullres"
    data_folder.mkdir(parents=True)
    (root / "results").mkdir()
    (data_folder.parent / "gt_segmentations").mkdir()
    for number in range(options.cases):
        (data_folder.parent / "gt_segmentations" / f"case_{number}.nii.gz").touch()
    for number in range(options.cases):
        image, segmentation = make_case(number, options)
        if options.scrambled:
            segmentation = scramble(segmentation)
        properties = {"class_locations": class_locations(segmentation, options), "spacing": [2.0, 1.0, 1.0]}
        save_preprocessed(data_folder / f"case_{number}", image, segmentation, properties)
    save_json(plans, str(folder / "nnUNetPlans.json"), sort_keys=False)
    save_json(dataset_json, str(folder / "dataset.json"), sort_keys=False)
    save_json({}, str(folder / "dataset_fingerprint.json"))
    dataset = TinyDataset(root / "preprocessed", root / "results", plans, dataset_json)
    if options.scans:
        add_scans(dataset, {f"case_{number}": FIRST_SCAN + number for number in range(options.scans)}, options)
    return dataset


def save_preprocessed(path: Path, image: np.ndarray, segmentation: np.ndarray, properties: dict[str, Any]) -> None:
    """The files of a case, as nnU-Net writes them."""
    chunks = (1, *image.shape[1:])
    nnUNetDatasetBlosc2.save_case(image, segmentation, properties, str(path), chunks, chunks, chunks, chunks)


def add_scans(dataset: TinyDataset, numbers: dict[str, int], options: Options = DEFAULT, **entry: Any) -> None:
    """Preprocessed scans without labels, by name and number of their image, beside those that are there.

    Args:
        entry: more of what the journal says of each.
    """
    folder, journal = dataset.scans, dataset.scans.read()
    made = made_for(dataset.plans, dataset.plans["configurations"]["3d_fullres"])
    folder.begin(made, journal.allows_test_images, list(journal.entries.values()))
    for name, number in numbers.items():
        image, segmentation = make_case(number, options)
        outside = np.where(segmentation < 0, segmentation, 0)
        for ending in CASE_ENDINGS:
            (folder.path / f"{name}{ending}").unlink(missing_ok=True)
        save_preprocessed(folder.path / name, image, outside, {"spacing": [2.0, 1.0, 1.0]})
        content = read_content(nnUNetDatasetBlosc2, folder.path, name)
        folder.add(Entry(name, [[1, 1]], content, content, **entry))
