"""Where everything of one demo lies, and whether it may lie there."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_lwi.demonstration.plans import CONFIGURATION, DEMO_PLANS
from nnunetv2_lwi.disk import require_writable
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.folders import number_of

MARKER = ".nnunetv2_lwi_demo"
"""Stands in every folder that a demo made; only such a folder is ever removed."""

SMALL_MACHINE = {
    "nnUNet_def_n_proc": "2",
    "nnUNet_n_proc_DA": "1",
    "nnUNet_npp": "1",
    "nnUNet_nps": "1",
    "OMP_NUM_THREADS": "1",
    "GOMP_SPINCOUNT": "10000",
    "nnUNet_compile": "f",
}
"""Few processes, no compilation, and no thread that spins while it waits: where a core is missing, spinning makes training
on the CPU several times slower. What the user's shell already says comes first."""

CASES_NEEDED = 5
"""nnU-Net splits the training cases into five folds."""


@dataclass(frozen=True)
class Demo:
    """Where everything of one demo lies."""

    folder: Path
    dataset_name: str
    device: str

    @property
    def folders(self) -> dict[str, Path]:
        """nnU-Net's three folders, by the names of their variables."""
        return {name: self.folder / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}

    @property
    def raw(self) -> Path:
        """The raw data set, or the link to it."""
        return self.folders["nnUNet_raw"] / self.dataset_name

    @property
    def preprocessed(self) -> Path:
        """The preprocessed data set and its plans."""
        return self.folders["nnUNet_preprocessed"] / self.dataset_name

    @property
    def dataset_id(self) -> str:
        """The number in the data set's name."""
        return str(number_of(self.dataset_name))

    @property
    def predictions(self) -> Path:
        """The segmentations of the test cases."""
        return self.folder / "predictions"

    @property
    def device_argument(self) -> list[str]:
        """For nnU-Net's commands, which run on CUDA unless told otherwise."""
        return [] if self.device == "cuda" else ["-device", self.device]

    @property
    def variables(self) -> dict[str, str]:
        """What has to be exported for the commands."""
        small = {name: os.environ.get(name, value) for name, value in SMALL_MACHINE.items()}
        return {name: str(folder) for name, folder in self.folders.items()} | small

    def fold(self, trainer: str) -> Path:
        """What a trainer writes for fold 0."""
        model = f"{trainer}__{DEMO_PLANS}__{CONFIGURATION}"
        return self.folders["nnUNet_results"] / self.dataset_name / model / "fold_0"


def check_dataset(dataset: Path) -> None:
    """Whether nnU-Net could use it.

    Raises:
        UserError: it is missing, wrongly named, or incomplete.
    """
    if not dataset.is_dir():
        raise UserError(f"There is no folder {dataset}: name a data set in nnU-Net's raw format.")
    if not re.fullmatch(r"Dataset\d{3}_.+", dataset.name):
        raise UserError(f"{dataset} is not named as nnU-Net needs it: call the folder Dataset, three digits, _, a name.")
    try:
        ending = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))["file_ending"]
        if not isinstance(ending, str):
            raise TypeError(f"file_ending is {ending!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{dataset / 'dataset.json'} is missing, no JSON, or has no file_ending ({error!r}).") from error
    for folder in ("imagesTr", "labelsTr"):
        if count_files(dataset / folder, ending) < CASES_NEEDED:
            raise UserError(
                f"{dataset / folder} must exist and hold at least {CASES_NEEDED} {ending} files: nnU-Net makes five folds."
            )


def check_output(output: Path, dataset: Path | None, overwrite: bool) -> None:
    """Whether a demo may write there.

    Raises:
        UserError: the folder lies in the data set, is an earlier demo's, holds something else, or cannot be written to.
    """
    require_writable(output, "give another -o")
    if dataset is not None and output.resolve().is_relative_to(dataset.resolve()):
        raise UserError(f"{output} lies in the data set, which is only read: give another -o.")
    if dataset is not None and dataset.resolve().is_relative_to(output.resolve()):
        raise UserError(f"{output} holds the data set, and --overwrite would remove it: give another -o.")
    if output.is_dir() and not any(output.iterdir()):
        return
    if (output / MARKER).is_file() and not overwrite:
        raise UserError(f"{output} holds an earlier demo: give --overwrite to remove it, or another -o.")
    if output.exists() and not (output / MARKER).is_file():
        raise UserError(f"{output} exists and is not an earlier demo's: give another -o.")


def count_files(folder: Path, ending: str) -> int:
    """How many files in a folder have this ending; 0 where there is no folder."""
    return sum(path.name.endswith(ending) for path in folder.iterdir()) if folder.is_dir() else 0


def prepare(demo: Demo, dataset: Path | None) -> None:
    """Make the demo's folder anew, with the phantom or a link to the user's data set."""
    from nnunetv2_lwi.datasets.phantom import write_phantom

    demo.folder.mkdir(parents=True, exist_ok=True)
    clear(demo.folder)
    (demo.folder / MARKER).touch()
    for folder in (*demo.folders.values(), demo.folder / "logs"):
        folder.mkdir()
    if dataset is None:
        write_phantom(demo.raw)
    else:
        demo.raw.symlink_to(dataset, target_is_directory=True)


def clear(folder: Path) -> None:
    """Remove what an earlier demo left, its marker apart; the folder stays, for it may be a link or the current one."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARKER:
            path.unlink()
