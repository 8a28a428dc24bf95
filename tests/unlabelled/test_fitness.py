"""What an image must be to be learned from."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_lwi.unlabelled.fitness import FAR_OFF, problem_of

RANDOM = np.random.default_rng(0).standard_normal((2, 4, 5, 6)).astype(np.float32)
USUAL = [3.0, 1.0, 1.0]


def changed(index, value):
    image = RANDOM.copy()
    image[index] = value
    return image


@pytest.mark.parametrize(
    ("image", "spacing", "words"),
    [
        (RANDOM[:1], USUAL, "1 channels where the data set has 2"),
        (np.repeat(RANDOM, 2, axis=0), USUAL, "4 channels where the data set has 2"),
        (RANDOM[:, :1], USUAL, "not 3D: 1 x 5 x 6 voxels"),
        (changed((0, 1, 2, 3), np.nan), USUAL, "NaN or infinite"),
        (changed((1, 1, 2, 3), -np.inf), USUAL, "NaN or infinite"),
        (changed(1, 7.0), USUAL, "every voxel of channel 1 is the same"),
        (RANDOM, [3.0, 0.0, 1.0], "its spacing is 3 x 0 x 1"),
        (RANDOM, [3.0, 1.0, 1.0 * FAR_OFF * 1.01], "far from the data set's 3 x 1 x 1"),
        (RANDOM, [3.0 / FAR_OFF / 1.01, 1.0, 1.0], "far from the data set's 3 x 1 x 1"),
    ],
)
def test_what_is_wrong_is_said(image, spacing, words):
    assert words in problem_of(image, spacing, 2, USUAL)


@pytest.mark.parametrize("spacing", [USUAL, [3.0 * FAR_OFF * 0.99, 1.0, 1 / FAR_OFF * 1.01], [1.0, 1.0, 1.0]])
def test_what_can_be_used_is_used(spacing):
    assert problem_of(RANDOM, spacing, 2, USUAL) is None


def test_without_a_usual_spacing_any_is_fine():
    assert problem_of(RANDOM, [40.0, 0.01, 1.0], 2, None) is None
