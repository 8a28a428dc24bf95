"""The device that a training runs on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.networks.memory import GIB


@contextmanager
def one_thread() -> Iterator[None]:
    """While it lasts torch works on the CPU as in a loader's worker: nnU-Net gives each one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def require_device(device: torch.device) -> None:
    """Raises:
    UserError: this machine has no such device.
    """
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("This machine has no CUDA device that torch can use: append -device cpu (or -device mps).")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("This machine has no MPS device that torch can use: append -device cpu.")


def require_compiler(device: torch.device) -> None:
    """nnU-Net compiles the network on CUDA unless it is told not to, and torch needs a C compiler for that.

    Raises:
        UserError: there is none.
    """
    asked_for = os.environ.get("nnUNet_compile", "t").lower() in ("true", "1", "t")
    if device.type != "cuda" or os.name == "nt" or not asked_for:
        return
    compilers = [name for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name]
    if not any(map(shutil.which, compilers)):
        raise UserError(
            "nnU-Net compiles the network for CUDA, and this machine has no C compiler (cc, gcc or clang): install one, or "
            "set nnUNet_compile=f."
        )


def require_gpus(device: str, number: int) -> None:
    """Raises:
    UserError: so many devices of that kind cannot train together here.
    """
    if number <= 1:
        return
    if device != "cuda":
        raise UserError(f"-num_gpus {number} needs -device cuda, not {device}: leave -num_gpus out.")
    there = torch.cuda.device_count()
    if there < number:
        raise UserError(f"-num_gpus {number}: torch can use {there} CUDA devices of this machine. Give no more than that.")


def memory_of_gpu() -> int:
    """Bytes that the first GPU has, whoever takes them; 0 without a GPU."""
    return int(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else 0


def does_not_fit(step: str, needed: int, there: int) -> str | None:
    """A warning where a training iteration takes more memory, by estimate, than the GPU has."""
    if not 0 < there < needed:
        return None
    return (
        f"{step} takes about {needed / GIB:.1f} GiB of GPU memory by estimate, and the GPU has {there / GIB:.1f} GiB: lower "
        "batch_size or patch_size (nnUNetv2_lwi plan --set), or take a smaller network."
    )


def out_of_memory(batch_size: int, patch_size: Sequence[int]) -> UserError:
    """What the user is told when a training ran out of the GPU's memory."""
    patch = "x".join(map(str, patch_size))
    return UserError(
        f"The GPU's {memory_of_gpu() / GIB:.1f} GiB of memory do not suffice for batches of {batch_size} with a patch of "
        f"{patch}: end what else uses it and go on with --c, or lower batch_size or patch_size (nnUNetv2_lwi plan --set)."
    )


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def stay_on_own_cores() -> None:
    """Take no more threads than this process has cores.

    nnU-Net takes as many as the machine has; where a scheduler or ``taskset`` allows fewer, they get in each other's way.
    """
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
