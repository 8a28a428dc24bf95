"""What step 1's validation reports beside its losses can be compared with them."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from nnunetv2_lwi.method.loss import PretextLoss
from nnunetv2_lwi.method.pretext_network import PretextOutput
from nnunetv2_lwi.method.reconstruction import averaged_to
from nnunetv2_lwi.method.transformation import Transformation
from nnunetv2_lwi.planning.settings import LWISettings
from nnunetv2_lwi.training.monitoring.validation import PretextEvaluator

PATCH = (16, 16, 16)


class HandsThrough(nn.Module):
    """Predicts its masked input, at every size of its outputs."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.sizes = sizes

    def forward(self, masked):
        full, *coarse = (averaged_to(masked, (size,) * 3) for size in self.sizes)
        return PretextOutput([], full, coarse)


@pytest.mark.parametrize("sizes", [(16,), (16, 8, 4)])
def test_a_network_that_hands_its_input_through_costs_what_is_said_of_the_input(sizes):
    """The outputs' sizes count: coarse ones have less of what varies from voxel to voxel."""
    settings = LWISettings.from_configuration({"lwi": {"masking": {"patch_size": [4, 4, 4]}}})
    network = HandsThrough(*sizes)
    evaluate = PretextEvaluator(
        network,
        network,
        Transformation(PATCH, 1, settings.masking),
        PretextLoss.of(settings, []),
        torch.device("cpu"),
        nullcontext,
    )
    image = torch.randn(1, 24, 16, 20, generator=torch.Generator().manual_seed(0))
    found = evaluate.on_case(image, 2)
    assert found["reconstruction_loss"] > 0.01
    assert found["reconstruction_loss_of_input"] == pytest.approx(found["reconstruction_loss"])
