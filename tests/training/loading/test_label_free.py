"""Labels forgotten, the border of the nonzero mask kept."""

from __future__ import annotations

import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from nnunetv2_lwi.training.loading.label_free import ForgetLabels, no_labels, without_labels


def test_labels_become_background_and_outside_stays():
    segmentation = torch.tensor([[[[-1, 0, 1, 3]]]], dtype=torch.int16)
    forgotten = ForgetLabels()(segmentation=segmentation)["segmentation"]
    assert forgotten.tolist() == [[[[-1, 0, 0, 0]]]] and forgotten.dtype == torch.int16
    assert segmentation.max() == 3


def test_labels_are_forgotten_before_anything_else():
    composed = without_labels(ComposeTransforms([ForgetLabels(), ForgetLabels()]))
    assert isinstance(composed.transforms[0], ForgetLabels) and len(composed.transforms) == 3


def test_the_label_manager_knows_no_labels():
    manager = no_labels()
    assert not manager.has_ignore_label and not manager.has_regions and manager.foreground_labels == []
