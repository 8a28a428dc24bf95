"""Where a step 1 comes from, as plain values for its checkpoint."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import nnunetv2_lwi

PACKAGES = ("nnunetv2", "torch", "batchgeneratorsv2", "dynamic-network-architectures", "numpy")


def make_provenance(
    dataset_name: str,
    plans_name: str,
    configuration: str,
    fold: int | str,
    cases: Iterable[str],
    unlabelled: Mapping[str, Any],
) -> dict[str, Any]:
    """Data set, plans, configuration, fold, cases whose images were seen, scans without labels, and versions.

    Args:
        unlabelled: of the run's record.
    """
    return {
        "dataset_name": dataset_name,
        "plans_name": plans_name,
        "configuration": configuration,
        "fold": fold,
        "cases": sorted(cases),
        "scans_without_labels": len(unlabelled["scans"]),
        "test_images": list(unlabelled["test_images"]),
        "versions": read_versions(),
    }


def read_versions() -> dict[str, str]:
    """Of Python, this package and what a training's figures may depend on."""
    return {
        "python": platform.python_version(),
        "nnunetv2_lwi": nnunetv2_lwi.__version__,
        **{package: version(package) for package in PACKAGES},
    }
