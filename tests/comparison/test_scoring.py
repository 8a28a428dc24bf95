"""HD95 against distances worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_lwi.comparison.scoring import hd95


def cube(offset: int) -> np.ndarray:
    volume = np.zeros((20, 20, 20), np.uint8)
    volume[5 + offset : 10 + offset, 5:10, 5:10] = 1
    return volume


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_a_shifted_cube_is_as_far_as_it_was_shifted(offset):
    assert hd95(cube(offset), cube(0), "1", [1.0, 1.0, 1.0]) == pytest.approx(offset)
    assert hd95(cube(offset), cube(0), "1", [2.5, 1.0, 1.0]) == pytest.approx(2.5 * offset)


def test_a_missing_class_has_no_distance():
    assert hd95(np.zeros_like(cube(0)), cube(0), "1", [1.0] * 3) is None
    assert hd95(cube(0), np.zeros_like(cube(0)), "1", [1.0] * 3) is None


def test_regions_and_ignored_voxels():
    truth, prediction = cube(0), cube(0)
    truth[5:10, 5:10, 5:7] = 2
    assert hd95(prediction, truth, "(1, 2)", [1.0] * 3) == 0
    assert hd95(prediction, truth, "1", [1.0] * 3) > 0
    prediction[15:] = 1
    truth[15:] = 3
    assert hd95(prediction, truth, "(1, 2)", [1.0] * 3, ignore_label=3) == 0
