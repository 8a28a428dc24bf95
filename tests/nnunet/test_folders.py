"""Names of nnU-Net's folders."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.nnunet.folders import number_of


@pytest.mark.parametrize(("name", "number"), [("Dataset007_Toy", 7), ("Dataset1007_Toy_2", 1007), ("Dataset120_A", 120)])
def test_a_data_set_s_number_may_have_more_than_three_digits(name, number):
    assert number_of(name) == number
