"""The generated data sets that are measured on, planned and preprocessed by nnU-Net when a section first asks for them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_lwi.datasets.phantom import Shape, write_phantom
from nnunetv2_lwi.nnunet.commands import nnunet_environment, stock_command


@dataclass(frozen=True)
class PhantomDataset:
    """A phantom by its name and size.

    Attributes:
        shape: (D, H, W) of the typical case.
        patch_size: in place of the planned one.
    """

    number: int
    name: str
    shape: Shape
    cases: int
    patch_size: Shape | None = None

    @property
    def folder_name(self) -> str:
        """As nnU-Net names data sets."""
        return f"Dataset{self.number:03d}_{self.name}"


SMALL = PhantomDataset(902, "Benchmark", (32, 40, 36), 6)
LARGE = PhantomDataset(903, "BenchmarkLarge", (144, 144, 144), 5, (128, 128, 128))
"""Cases that hold a patch of 128 cubed; the least number that nnU-Net splits into five folds."""


def prepare(dataset: PhantomDataset) -> None:
    """Generate it and let nnU-Net plan and preprocess it, unless that was done."""
    done = Path(os.environ["nnUNet_preprocessed"]) / dataset.folder_name / "complete"
    if done.is_file():
        return
    raw = Path(os.environ["nnUNet_raw"]) / dataset.folder_name
    write_phantom(raw, cases=dataset.cases, test_cases=0, shape=dataset.shape)
    command = stock_command("nnUNetv2_plan_and_preprocess", "-d", str(dataset.number), "-c", "3d_fullres", "-np", "2")
    subprocess.run(command, env=nnunet_environment(), check=True, stdout=subprocess.DEVNULL)
    done.touch()
