"""Names of nnU-Net's folders."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.nnunet.folders import find_dataset, number_of


@pytest.mark.parametrize(("name", "number"), [("Dataset007_Toy", 7), ("Dataset1007_Toy_2", 1007), ("Dataset120_A", 120)])
def test_a_data_set_s_number_may_have_more_than_three_digits(name, number):
    assert number_of(name) == number


def test_a_file_beside_the_data_sets_is_none(tmp_path):
    (tmp_path / "Dataset004_Hippocampus").mkdir()
    (tmp_path / "Dataset004_Hippocampus.zip").touch()
    assert find_dataset("4", [tmp_path]) == "Dataset004_Hippocampus"
