"""Every way by which a checkpoint reaches this package."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.table import Act, Init, Seg, World


def check(world: World, path: Path) -> Act:
    return world.check(path)


def train_step1(world: World, path: Path) -> Act:
    """``nnUNetv2_lwi train --step1``."""
    return world.command("train", "999", "3d_fullres", "0", "-device", "cpu", "--step1", path)


def train_finds(world: World, path: Path) -> Act:
    """``nnUNetv2_lwi train`` finds it as the step 1 that is finished and validated."""
    placed = world.place("nnUNetTrainerLWIInit", path)
    (placed.parent / "validation").mkdir()
    (placed.parent / "validation" / "summary.json").write_text("{}")
    return world.command("train", "999", "3d_fullres", "0", "-device", "cpu")


def hand_over(world: World, path: Path) -> Act:
    """The folder in which step 2 looks for its step 1."""
    world.place("nnUNetTrainerLWIInit", path)
    return world.train(Seg)


def pretrained_weights(world: World, path: Path) -> Act:
    """The stock ``-pretrained_weights``, with our trainer."""
    world.type_command("-pretrained_weights", str(path))
    return world.train(Seg)


def resume_step1(world: World, path: Path) -> Act:
    """``--c``, step 1."""
    return world.resume(world.place("nnUNetTrainerLWIInit", path, "checkpoint_latest.pth"), Init)


def resume_step2(world: World, path: Path) -> Act:
    """``--c``, step 2."""
    return world.resume(world.place("nnUNetTrainerLWISeg", path, "checkpoint_latest.pth"))


READERS: dict[str, Callable[[World, Path], Act]] = {
    "check": check,
    "train --step1": train_step1,
    "train": train_finds,
    "hand-over": hand_over,
    "-pretrained_weights": pretrained_weights,
    "--c of step 1": resume_step1,
    "--c of step 2": resume_step2,
}


def spoiled(world: World, spoil: Callable[[Path], object]) -> Path:
    """A step 1 checkpoint made unusable."""
    path = Path(shutil.copy(world.checkpoints / "nnUNetTrainerLWIInit.pth", world.root / "spoiled.pth"))
    spoil(path)
    return path
