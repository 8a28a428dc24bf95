"""The modes that nnU-Net's command trains in, and folders of the benchmarks' own."""

from __future__ import annotations

import os
from pathlib import Path

import torch


def as_nnunetv2_train(device: torch.device) -> None:
    """On a GPU one thread and cuDNN's own choice, on the CPU all threads."""
    if device.type == "cuda":
        torch.set_num_threads(1)
        torch.backends.cudnn.deterministic = False
        torch.backends.cudnn.benchmark = True
    else:
        torch.set_num_threads(os.cpu_count() or 1)


def own_folders(output: Path) -> None:
    """nnU-Net reads where its folders are when it is imported, and in every process again."""
    os.environ |= {name: str(output / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
