"""Labels forgotten, the border of the nonzero mask kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from nnunetv2_lwi.training.loading.label_free import ForgetLabels, NoSegmentation, no_labels, without_labels
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit


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


@pytest.mark.parametrize(
    "options", [{}, {"channels": 2}, {"patch_size": (8, 32, 32), "shape": (9, 40, 40)}], ids=["plain", "channels", "flat"]
)
def test_images_alone_are_transformed_as_with_a_segmentation(make_dataset, options):
    """Same draws, bit for bit; nothing of a segmentation is read."""
    batches = []
    for number, cls in enumerate((nnUNetTrainerLWIInit, WithSegmentation)):
        trainer = make_dataset(f"data_{number}", **options).trainer(cls)
        trainer.initialize()
        loaders = trainer.get_dataloaders()
        np.random.seed(0)
        torch.manual_seed(0)
        batches.append([next(loader) for loader in loaders for _ in range(3)])
    for alone, along in zip(*batches, strict=True):
        assert torch.equal(alone["data"], along["data"]) and list(alone["keys"]) == list(along["keys"])
        assert alone["target"].shape[1:] == (1, 1, 1, 1) and along["target"].shape[2:] == along["data"].shape[2:]


class WithSegmentation(nnUNetTrainerLWIInit):
    """As where an image was normalised within a mask."""

    @property
    def needs_segmentations(self) -> bool:
        return True


@pytest.mark.parametrize(("options", "needed"), [({}, False), ({"use_mask_for_norm": True}, True)])
def test_a_segmentation_is_read_where_an_image_was_normalised_within_it_alone(make_dataset, options, needed):
    trainer = make_dataset(**options).trainer(nnUNetTrainerLWIInit)
    trainer.initialize()
    train, _ = trainer.get_tr_and_val_datasets()
    image, segmentation, *_ = train.load_case(train.identifiers[0])
    assert isinstance(segmentation, NoSegmentation) != needed
    assert segmentation.shape == (1, *image.shape[1:])


def test_no_segmentation_is_background_that_takes_no_memory():
    volume = NoSegmentation((2, 500, 500, 500))
    part = volume[:, 3:7, 0:500, 2:4]
    assert part.shape == (1, 4, 500, 2) and not part.any() and part.dtype == volume.dtype == np.int8
    assert part.strides == (0, 0, 0, 0)
