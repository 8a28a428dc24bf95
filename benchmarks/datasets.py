"""The data sets that are measured on, planned and preprocessed by nnU-Net when a section first asks for them."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_lwi.datasets.phantom import Shape, write_phantom
from nnunetv2_lwi.disk import write_text
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.commands import nnunet_environment, run_command, stock_command
from nnunetv2_lwi.nnunet.folders import number_of
from nnunetv2_lwi.training.machine.devices import cores

OF_TESTS = ("imagesTs", "labelsTs")


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

    def state(self) -> str:
        """It is made here, and always the same."""
        return ""

    def write(self, raw: Path) -> None:
        """Generate it."""
        write_phantom(raw, cases=self.cases, test_cases=0, shape=self.shape)


@dataclass(frozen=True)
class GivenDataset:
    """One in nnU-Net's raw format, which is only read."""

    folder: Path
    patch_size: Shape | None = None

    @property
    def number(self) -> int:
        """In its name."""
        return number_of(self.folder.name)

    @property
    def folder_name(self) -> str:
        """As nnU-Net names data sets."""
        return self.folder.name

    def state(self) -> str:
        """Where it lies, and size and time of every file but the test cases', which nothing trains on."""
        paths = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        files = {str(path.relative_to(self.folder)): path.stat() for path in paths if path.parent.name not in OF_TESTS}
        return json.dumps([str(self.folder.resolve()), {name: [f.st_size, f.st_mtime_ns] for name, f in files.items()}])

    def write(self, raw: Path) -> None:
        """Link it."""
        raw.parent.mkdir(parents=True, exist_ok=True)
        raw.unlink(missing_ok=True)
        raw.symlink_to(self.folder.resolve(), target_is_directory=True)


Dataset = PhantomDataset | GivenDataset

SMALL = PhantomDataset(902, "Benchmark", (32, 40, 36), 6)
LARGE = PhantomDataset(903, "BenchmarkLarge", (144, 144, 144), 5, (128, 128, 128))
"""Cases that hold a patch of 128 cubed; the least number that nnU-Net splits into five folds."""


def prepare(dataset: Dataset) -> None:
    """Write it and let nnU-Net plan and preprocess it, unless that was done.

    Raises:
        UserError: nnU-Net could not, or did so with other data.
    """
    done = Path(os.environ["nnUNet_preprocessed"]) / dataset.folder_name / "complete"
    state = dataset.state()
    if done.is_file():
        if done.read_text(encoding="utf-8") != state:
            raise UserError(
                f"{done.parents[2]} is of another {dataset.folder_name}, or as it was: remove it, or name another."
            )
        return
    raw = Path(os.environ["nnUNet_raw"]) / dataset.folder_name
    dataset.write(raw)
    command = stock_command(
        "nnUNetv2_plan_and_preprocess", "-d", str(dataset.number), "-c", "3d_fullres", "-np", str(cores())
    )
    log = raw.parents[1] / f"prepare_{dataset.folder_name}.log"
    with log.open("wb") as sink:
        code = run_command(command, nnunet_environment(), stdout=sink, stderr=subprocess.STDOUT)
    if code:
        raise UserError(f"nnU-Net could not plan and preprocess {dataset.folder_name}: see the end of {log}.")
    write_text(done, state)
