"""The machine, and the whole job as a user types it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import torch

from benchmarks.gpu.runner import Figures, Place
from benchmarks.report import describe_machine
from nnunetv2_lwi.networks.memory import GIB
from nnunetv2_lwi.training.machine.devices import cores

DICE = re.compile(r"Mean Validation Dice:?\s+(\S+)")


def environment(place: Place) -> Iterator[Figures]:
    """Machine, versions, and what of the GPU decides what can run."""
    figures = describe_machine(place.torch_device) | {"usable cores": cores(), "C compiler": shutil.which("cc")}
    if place.has_gpu:
        properties = torch.cuda.get_device_properties(0)
        figures |= {
            "memory GiB": properties.total_memory / GIB,
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "bf16": torch.cuda.is_bf16_supported(),
        }
    yield figures


def demo(place: Place) -> Iterator[Figures]:
    """``nnUNetv2_lwi demo`` on the GPU.

    Raises:
        RuntimeError: it failed; the end of what it said.
    """
    words = ["-m", "nnunetv2_lwi.cli.main", "demo", "-device", place.device, "--output", str(place.output / "demo")]
    done = subprocess.run([sys.executable, *words, "--overwrite"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    found = DICE.search(done.stdout)
    yield {
        "validation Dice": float(found[1]) if found else "not told",
        "pictures": len(list((place.output / "demo").rglob("*.png"))),
    }
