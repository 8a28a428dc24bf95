"""Step 1 learns the order of the phantom's slabs from images alone, and on images that it has not seen."""

from __future__ import annotations

import numpy as np
import torch

from nnunetv2_lwi.datasets.phantom import draw_case
from nnunetv2_lwi.method.loss import PretextLoss
from nnunetv2_lwi.method.pretext_network import PretextNetwork
from nnunetv2_lwi.method.transformation import Transformation
from nnunetv2_lwi.planning.settings import LWISettings
from nnunetv2_lwi.training.machine.randomness import make_generator
from tests.networks_for_tests import build_unet

PATCH = (32, 32, 32)
STRIDES = [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]]
ITERATIONS = 200


def draw_images(count: int, seed: int) -> torch.Tensor:
    """(count, 1, D, H, W), normalised as nnU-Net would."""
    rng = np.random.default_rng(seed)
    images = torch.stack([torch.from_numpy(draw_case(rng, PATCH)[0]) for _ in range(count)])
    return (images - images.mean((2, 3, 4), keepdim=True)) / images.std((2, 3, 4), keepdim=True)


def test_the_order_is_learned_far_above_chance():
    torch.manual_seed(0)
    settings = LWISettings()
    pretext = PretextNetwork.around(build_unet(STRIDES, features=8), settings, 1, PATCH)
    transformation = Transformation(PATCH, pretext.slabs, settings.masking)
    loss = PretextLoss.of(settings, [level.index for level in pretext.order_heads.levels])
    optimizer = torch.optim.AdamW(pretext.parameters(), 1e-3)
    generator = make_generator(0)
    images = draw_images(16, seed=0)
    for iteration in range(ITERATIONS):
        batch = transformation(images[torch.arange(2) + 2 * (iteration % 8)], generator)
        optimizer.zero_grad()
        losses = loss(pretext(batch.masked), batch)
        losses["loss"].backward()
        optimizer.step()

    pretext.eval()
    with torch.no_grad():
        batch = transformation(draw_images(16, seed=1), generator)
        unseen = loss(pretext(batch.masked), batch)
    assert pretext.chance == 0.25
    assert unseen["order_accuracy_level_3"] > 0.6 and unseen["order_accuracy_level_2"] > 0.6
    assert unseen["reconstruction_loss"] < 0.8 * (batch.masked - batch.shuffled).square().mean()
