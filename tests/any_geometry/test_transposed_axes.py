"""Plans that transpose the axes: nnU-Net's preprocessing, step 1's figures, step 2's export back to the image's axes."""

from __future__ import annotations

import json
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.evaluation import evaluate_predictions
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet_trainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import NAME, TinyDataset

TRANSPOSE = (2, 0, 1)
"""The last axis of the array, x, is the coarse one and comes first."""
SHAPE = (19, 17, 12)
"""Of the image as an array (z, y, x)."""
SPACING = (2.0, 1.0, 1.0)
"""Of the image, (x, y, z); the plan's 3d_fullres has [2, 1, 1] after the transposition: nothing is resampled."""


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net's validation spawns processes; threads do the same work without the seconds that takes."""
    threads = SimpleNamespace(get_context=lambda method: SimpleNamespace(Pool=ThreadPool))
    for module in (nnunet_trainer, evaluate_predictions):
        monkeypatch.setattr(module, "multiprocessing", threads)


def preprocess_images(dataset: TinyDataset, folder: Path) -> Path:
    """Replace the cases by images that nnU-Net's own preprocessor read; returns the last one."""
    preprocessed = dataset.preprocessed / NAME
    labels = preprocessed / "gt_segmentations"
    manager = PlansManager(dataset.plans)
    cases = preprocessed / "nnUNetPlans_3d_fullres"
    for path in cases.iterdir():
        path.unlink()
    for number in range(5):
        image = np.random.default_rng(number).standard_normal(SHAPE).astype(np.float32) + 5
        segmentation = np.zeros(SHAPE, np.uint8)
        segmentation[4:9, 3:9, 2:7], segmentation[10:15, 9:14, 5:9] = 1, 2
        paths = folder / f"case_{number}_0000.nii.gz", labels / f"case_{number}.nii.gz"
        for array, path in zip((image, segmentation), paths, strict=True):
            itk = sitk.GetImageFromArray(array)
            itk.SetSpacing(SPACING)
            sitk.WriteImage(itk, str(path))
        DefaultPreprocessor(verbose=False).run_case_save(
            str(cases / f"case_{number}"),
            [str(paths[0])],
            str(paths[1]),
            manager,
            manager.get_configuration("3d_fullres"),
            dataset.dataset_json,
        )
    return paths[0]


def test_transposed_axes_end_to_end(make_dataset, tmp_path: Path, no_processes) -> None:
    dataset = make_dataset(transpose_forward=TRANSPOSE)
    dataset.plans["foreground_intensity_properties_per_channel"] = {"0": {}}
    image = preprocess_images(dataset, tmp_path)
    one_epoch = {"init": {"epochs": 1}, "seg": {"epochs": 1}}

    step1 = dataset.trainer(nnUNetTrainerLWIInit, **one_epoch)
    step1.run_training()
    step1.perform_actual_validation()
    case = step1.val_cases[0]
    data, _, _, properties = step1.dataset_class(step1.preprocessed_dataset_folder, [case]).load_case(case)
    assert data.shape[1:] == tuple(SHAPE[axis] for axis in TRANSPOSE)
    assert [properties["spacing"][axis] for axis in TRANSPOSE] == step1.configuration_manager.spacing
    summary = json.loads((Path(step1.output_folder) / "validation" / "summary.json").read_text())
    assert summary["num_subvolumes"] == 2 and len(summary["metric_per_case"]) == 1

    step2 = dataset.trainer(nnUNetTrainerLWISeg, **one_epoch)
    step2.run_training()
    step2.perform_actual_validation()
    exported = sitk.ReadImage(str(Path(step2.output_folder) / "validation" / f"{case}.nii.gz"))
    assert exported.GetSpacing() == SPACING and sitk.GetArrayFromImage(exported).shape == SHAPE

    predictor = nnUNetPredictor(use_mirroring=False, device=step2.device, allow_tqdm=False)
    step2.set_deep_supervision_enabled(False)
    network = step2.network
    predictor.manual_initialization(
        network, step2.plans_manager, step2.configuration_manager, [network.state_dict()], dataset.dataset_json, "", None
    )
    pixels, raw_properties = step2.plans_manager.image_reader_writer_class().read_images([str(image)])
    predicted = predictor.predict_single_npy_array(pixels, raw_properties)
    preprocessed = step2.dataset_class(step2.preprocessed_dataset_folder, ["case_4"]).load_case("case_4")[0]
    logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(preprocessed[:]))
    assert np.array_equal(np.transpose(predicted, TRANSPOSE), logits.argmax(0).numpy())
    assert len(np.unique(predicted)) > 1
