"""The device that a training runs on."""

from __future__ import annotations

import os

import torch

from nnunetv2_lwi.errors import UserError


def require_device(device: torch.device) -> None:
    """Raises:
    UserError: this machine has no such device.
    """
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("This machine has no CUDA device that torch can use: append -device cpu (or -device mps).")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("This machine has no MPS device that torch can use: append -device cpu.")


def stay_on_own_cores() -> None:
    """Take no more threads than this process has cores.

    nnU-Net takes as many as the machine has; where a scheduler or ``taskset`` allows fewer, they get in each other's way.
    """
    if hasattr(os, "sched_getaffinity"):
        torch.set_num_threads(min(torch.get_num_threads(), len(os.sched_getaffinity(0))))
