"""Where a step 1 comes from."""

from __future__ import annotations

import platform
from importlib.metadata import version

import nnunetv2_lwi
from nnunetv2_lwi.handover.provenance import make_provenance, read_versions
from nnunetv2_lwi.handover.step1 import PROVENANCE


def test_it_says_what_a_hand_over_asks_for():
    provenance = make_provenance(
        "Dataset004_A", "P", "3d_fullres", "all", ["b", "a"], {"scans": {"s": {}}, "test_images": ["s"]}
    )
    assert set(provenance) >= set(PROVENANCE)
    assert provenance == {
        "dataset_name": "Dataset004_A",
        "plans_name": "P",
        "configuration": "3d_fullres",
        "fold": "all",
        "cases": ["a", "b"],
        "scans_without_labels": 1,
        "test_images": ["s"],
        "versions": read_versions(),
    }


def test_versions_are_those_of_what_runs():
    versions = read_versions()
    assert (versions["python"], versions["nnunetv2_lwi"]) == (platform.python_version(), nnunetv2_lwi.__version__)
    others = {name: of_it for name, of_it in versions.items() if name not in ("python", "nnunetv2_lwi")}
    assert others == {name: version(name) for name in others} and {"nnunetv2", "torch", "numpy"} <= others.keys()
