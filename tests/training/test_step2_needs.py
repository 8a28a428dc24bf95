"""What step 2 would meet only after hours, told before step 1."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.target import Target
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from nnunetv2_lwi.training.step2_needs import problems_of_step2, require_declared_labels
from tests.nnunet.test_contents import rewrite
from tests.tiny_dataset import NAME, Options, TinyDataset, make_case


def target(dataset: TinyDataset, plans: dict[str, Any] | None = None, **dataset_json: Any) -> Target:
    file = dataset.preprocessed / NAME / "nnUNetPlans.json"
    return Target(NAME, "nnUNetPlans", "3d_fullres", 0, plans or dataset.plans, dataset.dataset_json | dataset_json, file)


def test_nothing_is_missing(dataset):
    assert list(problems_of_step2(target(dataset))) == []


@pytest.mark.parametrize(
    ("labels", "told"),
    [({"one": 1, "three": 3}, "up to 3 but not 2,"), ({"one": 2}, "up to 2 but not 1,"), ({"one": 1, "two": 2}, None)],
)
def test_labels_with_a_gap(dataset, labels, told):
    problems = list(problems_of_step2(target(dataset, labels={"background": 0, **labels})))
    assert (told in problems[0]) if told else problems == []


def test_regions_may_have_gaps(dataset):
    found = target(dataset, labels={"background": 0, "whole": [1, 3], "core": 3}, regions_class_order=[1, 3])
    assert list(problems_of_step2(found)) == []


@pytest.mark.parametrize(
    ("reader", "ending", "told"),
    [
        ("SimpleITKIO", ".tif", "file_ending .tif, which SimpleITKIO of the plan does not read"),
        ("ReaderOfMyOwn", ".nii.gz", "reads images with ReaderOfMyOwn, which cannot be found"),
        ("SimpleITKIO", ".nii.gz", None),
    ],
)
def test_a_reader_that_is_not_there_or_does_not_read_the_images(dataset, reader, ending, told):
    plans = deepcopy(dataset.plans) | {"image_reader_writer": reader}
    problems = [text for text in problems_of_step2(target(dataset, plans, file_ending=ending)) if "gt_segment" not in text]
    assert (told in problems[0]) if told else problems == []


@pytest.mark.parametrize("kind", ["folder", "case"])
def test_labels_that_the_final_validation_compares_with(dataset, kind):
    folder = dataset.preprocessed / NAME / "gt_segmentations"
    for path in folder.iterdir():
        path.unlink()
    if kind == "folder":
        folder.rmdir()
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"}) if kind == "case" else None
    if trainer is not None:
        trainer.do_split()
        trainer.discard_output()
    told = f"There is no {folder}" if kind == "folder" else f"{folder} lacks labels of 1 validation cases: case_"
    with pytest.raises(UserError, match=f"{told}.*run nnUNetv2_preprocess -d {NAME}"):
        dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"})
    assert not list(dataset.results.iterdir())
    step1 = dataset.trainer(nnUNetTrainerLWIInit)
    step1.initialize()
    assert f"WARNING: step 2 would be refused: {told}"[:60] in Path(step1.log_file).read_text()


def undeclare(dataset: TinyDataset, value: int = 3) -> None:
    for number in range(5):
        image, segmentation = make_case(number, Options())
        segmentation[0, 4:8, 8:12, 8:12] = value
        rewrite(dataset.preprocessed / NAME / "nnUNetPlans_3d_fullres", f"case_{number}", image, segmentation)


def test_a_label_that_is_not_declared_is_told_before_step_1(dataset):
    undeclare(dataset)
    with pytest.raises(UserError, match=r"labels of case case_0 have the value 3, which dataset\.json does not declare"):
        require_declared_labels(target(dataset))
    with pytest.raises(UserError, match="case_0 have the value 3"):
        main(["train", "999", "3d_fullres", "0", "-device", "cpu"])
    assert not list(dataset.results.iterdir())


@pytest.mark.parametrize("workers", ["0", "1"])
def test_step_2_by_itself_ends_in_a_line_too(dataset, monkeypatch, workers):
    monkeypatch.setenv("nnUNet_n_proc_DA", workers)
    undeclare(dataset)
    with pytest.raises(UserError, match=r"labels of case case_\d have the value 3"):
        dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"}).run_training()
