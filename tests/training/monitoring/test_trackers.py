"""What nnU-Net's own logger gets of step 1 where Weights & Biases is switched on; a stand-in takes the package's place."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from nnunetv2.training.logging import nnunet_logger

from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit


class Run:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, object, int]] = []
        self.summary: dict[str, object] = {}
        self.config: dict[str, object] = {}
        self.step = 0

    def log(self, values: dict[str, object], step: int) -> None:
        self.logged += [(key, value, step) for key, value in values.items()]


@pytest.fixture
def run(monkeypatch):
    run = Run()
    package = SimpleNamespace(init=lambda **_: run, Image=lambda path: ("image", path))
    monkeypatch.setitem(sys.modules, "wandb", package)
    monkeypatch.setattr(nnunet_logger, "wandb", package)
    monkeypatch.setattr("nnunetv2_lwi.training.preconditions.find_spec", lambda name: package)
    monkeypatch.setenv("nnUNet_wandb_enabled", "1")
    return run


def test_curves_of_every_epoch_and_pictures_are_handed_on(dataset, run):
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.run_training()
    epochs = list(range(trainer.num_epochs))
    curves = {key: [step for name, _, step in run.logged if name == key] for key, _, _ in run.logged}
    assert {"train_losses", "val_losses", "val_order_accuracy_level_2", "val_reconstruction_loss"} <= curves.keys()
    assert all(steps == epochs for name, steps in curves.items() if name.startswith(("train_", "val_")))
    pictures = [value for name, value, _ in run.logged if name == "patch"]
    assert pictures and all(kind == "image" and path.endswith(".png") for kind, path in pictures)
    assert [step for _, _, step in run.logged] == sorted(step for _, _, step in run.logged), "W&B takes no earlier step"


def test_a_picture_that_cannot_be_sent_ends_no_training(dataset, run, monkeypatch):
    def no_network(path: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr(sys.modules["wandb"], "Image", no_network)
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.run_training()
    log = next(dataset.output_folder("nnUNetTrainerLWIInit").glob("training_log_*.txt")).read_text()
    assert "alone: OSError: no network" in log
    assert trainer.current_epoch == trainer.num_epochs
