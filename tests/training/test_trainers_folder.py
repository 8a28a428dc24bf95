"""The module that nnU-Net looks trainers up in."""

from __future__ import annotations

import importlib
import sys

import pytest

from nnunetv2_lwi.names import STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg


def test_looking_a_name_up_has_no_side_effect(monkeypatch: pytest.MonkeyPatch):
    """nnU-Net asks every external module for every name: nothing is opened and nobody is told anything."""
    module = importlib.import_module("nnunetv2_lwi.trainers.nnUNetTrainerLWI")
    monkeypatch.setattr(sys, "argv", ["/bin/nnUNetv2_train", "997", "3d_fullres", "0", "-p", "Missing"])
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("a file was opened"))
    assert not hasattr(module, "nnUNetTrainer") and not hasattr(module, "__getattr__")
    assert hasattr(module, STEP1_TRAINER) and hasattr(module, STEP2_TRAINER)
    assert (getattr(module, STEP1_TRAINER), getattr(module, STEP2_TRAINER)) == (nnUNetTrainerLWIInit, nnUNetTrainerLWISeg)
