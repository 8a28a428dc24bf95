from __future__ import annotations

from benchmarks.augmentation import compare_augmentation_on
from benchmarks.plans import own_plan
from tests.benchmarks.conftest import CPU


def test_both_augment_the_same_patches(phantom):
    comparison = compare_augmentation_on(own_plan(phantom), CPU)
    assert comparison.name == "augmentation of a batch, PlainConvUNet, 2 x 8x16x16"
    assert (comparison.candidate, comparison.baseline) == ("cut in a worker, the rest on cpu", "in a worker")
    assert 0.1 < comparison.ratio.median < 10
