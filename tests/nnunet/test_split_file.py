"""Too few cases for a fold: told before anything is written, where nnU-Net would stop with a traceback."""

from __future__ import annotations

import json

import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import NAME

BOTH = pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])


@BOTH
@pytest.mark.parametrize(("cases", "said"), [(1, "1 preprocessed case, fewer"), (4, "4 preprocessed cases, fewer")])
def test_fewer_cases_than_folds(make_dataset, cls, cases, said):
    dataset = make_dataset(cases=cases)
    with pytest.raises(UserError, match=rf"{said}.*train with fold all, or write your own folds to .*splits_final\.json"):
        dataset.trainer(cls)
    assert list(dataset.results.iterdir()) == []
    assert not (dataset.preprocessed / NAME / "splits_final.json").exists()


@BOTH
def test_one_case_and_a_fold_that_the_split_has_not(make_dataset, cls):
    """nnU-Net would draw 80 % of one case, which is none."""
    dataset = make_dataset(cases=1)
    split = [{"train": ["case_0"], "val": ["case_0"]}]
    (dataset.preprocessed / NAME / "splits_final.json").write_text(json.dumps(split))
    with pytest.raises(UserError, match=r"1 preprocessed case, and .* has no fold 1"):
        dataset.trainer(cls, fold=1)
    assert list(dataset.results.iterdir()) == []


@BOTH
def test_other_files_among_the_cases(dataset, cls):
    (dataset.preprocessed / NAME / "nnUNetPlans_3d_fullres" / "notes.txt").write_text("")
    with pytest.raises(UserError, match="must hold preprocessed cases of one format and nothing else"):
        dataset.trainer(cls)
    assert list(dataset.results.iterdir()) == []
