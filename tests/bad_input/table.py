"""The table of mistakes: each row makes one, in folders of its own, and hands back the act that must be refused.

What the user sees stands in docs/reference/errors.md and nowhere else; ``test_table.py`` compares.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import NAME, TinyDataset

Act = Callable[[], object]
Init, Seg = nnUNetTrainerLWIInit, nnUNetTrainerLWISeg


@dataclass
class World:
    """nnU-Net's folders with a data set and its split, and the checkpoints of both steps at hand."""

    root: Path
    dataset: TinyDataset
    checkpoints: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def folder(self) -> Path:
        """The preprocessed data set."""
        return self.dataset.folder

    @property
    def cases(self) -> Path:
        """Its preprocessed cases."""
        return self.dataset.cases

    @property
    def configuration(self) -> dict[str, Any]:
        """3d_fullres, to be changed."""
        return self.dataset.plans["configurations"]["3d_fullres"]

    def train(self, cls: type = Init, configuration: str = "3d_fullres", **lwi: Any) -> Act:
        """Train one step, as nnU-Net's run script does it."""
        return lambda: self.dataset.trainer(cls, configuration=configuration, **lwi).run_training()

    def place(self, trainer: str, source: Path | None = None, name: str = "checkpoint_final.pth") -> Path:
        """Put a checkpoint, by default the trainer's own, where the trainer writes."""
        path = self.dataset.output_folder(trainer) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source or self.checkpoints / f"{trainer}.pth", path)
        return path

    def file(self, trainer: str = "nnUNetTrainerLWIInit") -> Path:
        """A checkpoint lying anywhere, to be spoiled."""
        return Path(shutil.copy(self.checkpoints / f"{trainer}.pth", self.root / "given.pth"))

    def resume(self, path: Path, cls: type = Seg, **lwi: Any) -> Act:
        """``--c``."""
        return lambda: self.dataset.trainer(cls, **lwi).load_checkpoint(str(path))

    def type_command(self, *words: str) -> None:
        """This process is nnU-Net's nnUNetv2_train."""
        words = (NAME, "3d_fullres", "0", "-tr", "nnUNetTrainerLWISeg", "-device", "cpu", *words)
        self.monkeypatch.setattr(sys, "argv", ["/bin/nnUNetv2_train", *words])

    def write_plans(self, name: str = "nnUNetPlans", **changes: Any) -> None:
        """Write the plans with another configuration."""
        plans = deepcopy(self.dataset.plans) | {"plans_name": name}
        plans["configurations"]["3d_fullres"] |= changes
        save_json(plans, str(self.folder / f"{name}.json"), sort_keys=False)

    def write_dataset_json(self, **changes: Any) -> None:
        """Change dataset.json, on disk and as the trainer gets it."""
        self.dataset.dataset_json.update(changes)
        save_json(self.dataset.dataset_json, str(self.folder / "dataset.json"))

    def command(self, *words: object) -> Act:
        """nnUNetv2_lwi."""
        return lambda: main([str(word) for word in words])

    def check(self, path: Path, *more: str) -> Act:
        """``nnUNetv2_lwi check``."""
        return self.command("check", path, "-d", "999", *more)


@dataclass(frozen=True)
class Row:
    """One mistake.

    Attributes:
        wrong: what was wrong, as docs/reference/errors.md has it.
        arrange: makes the mistake and returns the act that meets it.
        shows: words that the message must hold, beyond what the documentation fixes.
        case: tells rows of the same mistake apart.
        late: it can be found only while training; the log then stays, and the checkpoints are as they were.
    """

    wrong: str
    arrange: Callable[[World], Act]
    shows: tuple[str, ...] = ()
    case: str = ""
    late: bool = False


ROWS: list[Row] = []


def row(wrong: str, *shows: str, case: str = "", late: bool = False) -> Callable[[Callable[[World], Act]], Any]:
    """Enter the decorated function, which makes the mistake, into the table."""

    def enter(arrange: Callable[[World], Act]) -> Callable[[World], Act]:
        ROWS.append(Row(wrong, arrange, shows, case, late))
        return arrange

    return enter
