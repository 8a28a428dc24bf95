"""Preprocessed data and the plan that they are trained with, by the shapes that nnU-Net's preprocessor gives."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.data_spacing import require_spacing_of_plan
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import make_plans, save_preprocessed

RAW = {"case_0": (9, 30, 22), "case_1": (11, 21, 27), "case_2": (13, 18, 19)}


def preprocess(folder, plans) -> None:
    """By nnU-Net's own preprocessor."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    manager = PlansManager(plans)
    for number, (name, shape) in enumerate(RAW.items()):
        image = np.random.default_rng(number).random((1, *shape), np.float32) + 1
        preprocessor = DefaultPreprocessor(verbose=False)
        properties = {"spacing": [1.5, 0.7, 0.9]}
        data, segmentation, properties = preprocessor.run_case_npy(
            image, None, properties, manager, manager.get_configuration("3d_fullres"), {"file_ending": ".nii.gz"}
        )
        if segmentation is None:
            segmentation = np.zeros_like(data, dtype=np.int8)
        save_preprocessed(folder / name, np.asarray(data), np.asarray(segmentation), properties)


@pytest.mark.parametrize("transposed", [[0, 1, 2], [1, 2, 0]])
def test_what_nnunet_preprocessed_by_the_plan_is_of_its_spacing_and_of_no_other(tmp_path, transposed):
    plans = make_plans() | {"transpose_forward": transposed}
    configuration = plans["configurations"]["3d_fullres"]
    preprocess(tmp_path / "data", plans)
    require_spacing_of_plan(tmp_path / "data", plans, configuration)
    other = {**configuration, "spacing": [2.0, 1.0, 1.2]}
    told = r"are of another spacing than plans nnUNetPlans: case case_0 .* at \[2\.0, 1\.0, 1\.2\] mm"
    with pytest.raises(UserError, match=told):
        require_spacing_of_plan(tmp_path / "data", plans, other)
    for mine in ({"preprocessor_name": "OneOfMyOwn"}, {"resampling_fn_data": "no_resampling_hack"}):
        require_spacing_of_plan(tmp_path / "data", plans, {**other, **mine})


def test_data_that_do_not_say_where_they_come_from_are_left_alone(dataset):
    require_spacing_of_plan(
        dataset.cases, dataset.plans, dataset.plans["configurations"]["3d_fullres"] | {"spacing": [9, 9, 9]}
    )


def test_a_trainer_refuses_them_before_it_makes_a_folder(dataset, tmp_path):
    """As where the planner ran again under the name that a copy of its plans names as its data."""
    preprocess(dataset.cases, dataset.plans)
    split = [{"train": ["case_0", "case_1"], "val": ["case_2"]}]
    (dataset.folder / "splits_final.json").write_text(json.dumps(split))
    dataset.write_plans(seg={"start": "random", "epochs": 1})
    dataset.trainer(nnUNetTrainerLWISeg)
    dataset.plans["configurations"]["3d_fullres"]["spacing"] = [1.0, 1.0, 1.0]
    before = sorted(dataset.results.rglob("*"))
    with pytest.raises(UserError, match="are of another spacing than plans nnUNetPlans"):
        dataset.trainer(nnUNetTrainerLWISeg)
    assert sorted(dataset.results.rglob("*")) == before
