"""Checkpoints that would create a file if they were unpickled: refused like any other, and the file is never there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.bad_input.readers import READERS, spoiled
from tests.bad_input.table import Act, World, row


class CreatesAFile:
    """What runs when it is unpickled is ``Path.touch``; the test of the table sees the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def hostile(world: World) -> Path:
    """A step 1 checkpoint as it was trained, but for one entry."""
    trace = CreatesAFile(world.root / "trace")
    return spoiled(world, lambda path: torch.save(torch.load(path, weights_only=True) | {"logging": trace}, path))


for reader, read in READERS.items():

    @row("a checkpoint that holds code", case=reader)
    def _(world: World, read: Any = read) -> Act:
        return read(world, hostile(world))
