"""Patches that cover a case."""

from __future__ import annotations

import torch

from nnunetv2_lwi.nnunet.patches import batches, tile


def test_patches_are_views_of_the_image():
    """A case's patches side by side would take as much memory as the case again."""
    image = torch.randn(1, 20, 20, 20)
    patches = tile(image, (8, 16, 16))
    assert len(patches) == 3 * 2 * 2
    assert {patch.untyped_storage().data_ptr() for patch in patches} == {image.untyped_storage().data_ptr()}


def test_together_they_cover_the_image_and_a_small_one_is_padded():
    image = torch.arange(20.0 * 20 * 20).view(1, 20, 20, 20)
    assert torch.cat([patch.flatten() for patch in tile(image, (8, 16, 16))]).unique().numel() == 20**3
    (small,) = tile(torch.ones(2, 4, 5, 6), (8, 8, 8))
    assert small.shape == (2, 8, 8, 8) and small.sum() == 2 * 4 * 5 * 6


def test_the_last_batch_may_be_smaller():
    assert [len(batch) for batch in batches([torch.zeros(1, 2, 2, 2)] * 7, 3)] == [3, 3, 1]
