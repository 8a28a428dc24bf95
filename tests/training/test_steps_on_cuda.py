"""Forward pass and losses of both steps where the device is a GPU: nothing is on the CPU and nothing is waited for.

The backward pass and the optimiser need a GPU; what they run on is what the forward pass made.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nnunetv2_lwi.method.loss import PretextLoss
from nnunetv2_lwi.method.pretext_network import PretextNetwork
from nnunetv2_lwi.method.transformation import Transformation
from nnunetv2_lwi.planning.settings import LWISettings
from nnunetv2_lwi.training.loading.augmentation_trial import Trial
from nnunetv2_lwi.training.machine.randomness import make_generator
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.networks.conftest import SMALL
from tests.pretended_cuda import CUDA, PretendedCuda, pretend


@pytest.fixture(autouse=True)
def without_a_gpu(monkeypatch):
    """Mixed precision does not look for a GPU."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)


@pytest.mark.parametrize("device_augmentation", [False, True])
@pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])
def test_the_trainers_steps(dataset, monkeypatch, cls, device_augmentation):
    monkeypatch.setattr(cls, "may_augment_on_device", device_augmentation)
    monkeypatch.setattr(Trial, "is_faster", True)
    trainer = dataset.trainer(cls, seg={"start": "random"})
    trainer.initialize()
    loader, _ = trainer.get_dataloaders()
    losses = []
    monkeypatch.setattr(trainer, "optimize", losses.append)
    with PretendedCuda():
        trainer.device = CUDA
        pretend(trainer.network)
        monkeypatch.setattr(trainer, "autocast", lambda: torch.autocast("cuda"))
        if device_augmentation:
            loader.device = CUDA
        figures = trainer.train_step(next(loader))
        assert losses[0].requires_grad and {value.device for value in figures.values()} == {CUDA}


@pytest.mark.parametrize("name", SMALL)
def test_the_networks_in_step_1_and_in_step_2(name):
    network = SMALL[name]
    pretext = PretextNetwork.around(network.build(2, 2), LWISettings(), 2, network.patch_size)
    loss = PretextLoss.of(LWISettings(), [level.index for level in pretext.order_heads.levels])
    transformation = Transformation(tuple(network.patch_size), pretext.slabs, LWISettings().masking)
    np.random.seed(0)
    with PretendedCuda(), torch.autocast("cuda"):
        batch = transformation(torch.empty(2, 2, *network.patch_size, device=CUDA), make_generator(0))
        assert loss(pretend(pretext)(batch.masked), batch)["loss"].device == CUDA
        logits = pretend(network.build(2, 3))(torch.empty(2, 2, *network.patch_size, device=CUDA))
        assert {output.device for output in (logits if isinstance(logits, (list, tuple)) else [logits])} == {CUDA}
