"""Where a step 1 comes from, as plain values for its checkpoint."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import nnunetv2_lwi

if TYPE_CHECKING:
    from nnunetv2_lwi.training.base import LWITrainer

PACKAGES = ("nnunetv2", "torch", "batchgeneratorsv2", "dynamic-network-architectures", "numpy")


def make_provenance(trainer: LWITrainer) -> dict[str, Any]:
    """Data set, plans, configuration, fold, cases whose images were seen, and versions."""
    return {
        "dataset_name": trainer.plans_manager.dataset_name,
        "plans_name": trainer.plans_manager.plans_name,
        "configuration": trainer.configuration_name,
        "fold": trainer.fold,
        "cases": sorted(trainer.train_cases),
        "versions": read_versions(),
    }


def read_versions() -> dict[str, str]:
    """Of Python, this package and what a training's figures may depend on."""
    return {
        "python": platform.python_version(),
        "nnunetv2_lwi": nnunetv2_lwi.__version__,
        **{package: version(package) for package in PACKAGES},
    }
