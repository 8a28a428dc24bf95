"""What a worker hands over where the device augments: no more than is read, in memory of its own, with what it draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_lwi.training.loading.cut import LABELS, POINTS, SampleBySample, box_around, labels_of, within
from nnunetv2_lwi.training.loading.device_transforms import split

PATCH = (32, 32, 32)
LARGER = (52, 52, 52)
"""What nnU-Net reads for rotation's sake where a patch is cubic: four times as many voxels."""


@pytest.fixture
def in_worker() -> ComposeTransforms:
    """Of nnU-Net's own transforms, with the chances that it gives rotation and scaling."""
    transforms = nnUNetTrainer.get_training_transforms(PATCH, (-np.pi / 6, np.pi / 6), None, (0, 1, 2), False)
    return split(transforms).in_worker


def cut_samples(in_worker, number=60):
    np.random.seed(0)
    torch.manual_seed(0)
    data = torch.randn(number, 1, *LARGER)
    labels = torch.zeros(number, 1, *LARGER, dtype=torch.int16)
    labels[:, :, 20:] = 7
    return SampleBySample(in_worker)(data, labels, [f"case_{i}" for i in range(number)])


def test_most_samples_leave_as_the_patch_and_none_with_what_they_were_cut_from(in_worker):
    batch = cut_samples(in_worker)
    assert batch["keys"][3] == "case_3" and len(batch["samples"]) == 60
    whole, patch = np.prod(LARGER), np.prod(PATCH)
    sizes = []
    for sample in batch["samples"]:
        for key in ("image", "segmentation"):
            tensor = sample[key]
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size() and tensor.is_contiguous()
        sizes.append(sample["image"].numel())
        if sample[POINTS] is None:
            assert sizes[-1] == patch and sample[LABELS] == []
        else:
            assert sizes[-1] <= whole and sample[POINTS].shape == (4, 3) and sample[LABELS] == [0, 7]
    unmoved = sum(sample[POINTS] is None for sample in batch["samples"])
    assert 0.5 < unmoved / 60 < 0.8  # nnU-Net's chances: 0.8 x 0.8
    assert np.mean(sizes) < 1.8 * patch < 0.45 * whole


@settings(max_examples=100, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 30)] * 3),
    points=st.lists(st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3), min_size=4, max_size=4),
)
def test_a_box_is_within_the_image_and_every_point_of_the_patch_within_its_box(shape, points):
    grid = torch.tensor(points)
    box = box_around(grid, shape)
    for (start, end), size in zip(box, shape, strict=True):
        assert 0 <= start < end <= size
    before = ((grid.flip(-1) + 1) * torch.tensor(shape) - 1) / 2
    after = ((within(grid, shape, box).flip(-1) + 1) * torch.tensor([end - start for start, end in box]) - 1) / 2
    assert torch.allclose(after + torch.tensor([start for start, _ in box]), before, atol=1e-3)
    for point in before:
        for value, (start, end), size in zip(point.tolist(), box, shape, strict=True):
            read = (np.floor(value), np.floor(value) + 1)
            assert all(not 0 <= voxel < size or start <= voxel < end for voxel in read)


def test_labels_are_those_that_are_there():
    assert labels_of(torch.tensor([[3, -1], [3, 100]], dtype=torch.int16)) == [-1, 3, 100]
    assert labels_of(torch.zeros(2, 2, dtype=torch.int8)) == [0]
