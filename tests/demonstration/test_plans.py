"""The demo's plans: a network that is small and fits whatever nnU-Net planned."""

from __future__ import annotations

import json

import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_lwi.demonstration.plans import demo_plans
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.settings import LWISettings
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import make_plans


@pytest.mark.parametrize(
    ("patch_size", "spacing"),
    [([48, 128, 96], [1.0, 1.0, 1.0]), ([14, 320, 256], [5.0, 0.7, 0.7]), ([40, 56, 40], [1.0] * 3)],
)
def test_the_small_network_can_be_built_and_takes_the_patch(patch_size, spacing):
    plans = make_plans()
    plans["configurations"]["3d_fullres"] |= {"patch_size": patch_size, "spacing": spacing}
    manager = PlansManager(json.loads(json.dumps(demo_plans(plans))))
    configuration = manager.get_configuration("3d_fullres")
    settings = LWISettings.from_configuration(configuration.configuration)
    assert (settings.init.epochs, settings.seg.start) == (6, "step1")
    assert max(configuration.patch_size) <= 64 and len(configuration.patch_size) == 3
    network = nnUNetTrainerLWISeg.build_network_architecture(manager, configuration, 1, 3, False)
    assert sum(weight.numel() for weight in network.parameters()) < 1_000_000
    with torch.no_grad():
        assert network(torch.zeros(1, 1, *configuration.patch_size)).shape == (1, 3, *configuration.patch_size)
        assert network.encoder(torch.zeros(1, 1, *configuration.patch_size))[-1].shape[2] >= 2


def test_a_data_set_without_3d_plans_is_refused():
    plans = make_plans()
    del plans["configurations"]["3d_fullres"]
    with pytest.raises(UserError, match="planned no 3d_fullres"):
        demo_plans(plans)
