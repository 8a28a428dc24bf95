"""Plans must be those of the data set and the file that they are asked for by."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.target import require_own_names

PLANS = {"dataset_name": "Dataset1007_Toy", "plans_name": "Mine"}


@pytest.mark.parametrize("dataset", ["Dataset1007_Toy", "1007", "01007"])
def test_a_data_set_goes_by_name_or_number(dataset):
    require_own_names(PLANS, dataset, "Mine")


@pytest.mark.parametrize(
    ("plans", "dataset", "words"),
    [
        (PLANS | {"plans_name": "nnUNetPlans"}, "1007", "says plans_name 'nnUNetPlans'"),
        (PLANS, "8", "Mine.json of data set 8 says dataset_name 'Dataset1007_Toy'"),
        (PLANS, "Dataset1007_Other", "says dataset_name"),
        (PLANS | {"dataset_name": 7}, "7", "says dataset_name 7"),
        ({}, "7", "says plans_name None"),
    ],
)
def test_others_are_told(plans, dataset, words):
    with pytest.raises(UserError, match=words):
        require_own_names(plans, dataset, "Mine")
