"""What a device needs beside itself."""

from __future__ import annotations

import shutil

import pytest
import torch

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.machine.devices import require_compiler, require_gpus

CUDA = torch.device("cuda")


@pytest.mark.parametrize(("device", "number", "told"), [("cpu", 2, "needs -device cuda"), ("cuda", 3, "2 CUDA devices")])
def test_more_gpus_than_can_train_together(monkeypatch, device, number, told):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=f"-num_gpus {number}.*{told}"):
        require_gpus(device, number)
    for fine in ((device, 1), ("cuda", 2)):
        require_gpus(*fine)


@pytest.mark.parametrize("there", [None, "clang", "my-gcc"])
def test_a_compiler_for_the_network_is_looked_for(monkeypatch, there):
    monkeypatch.setattr(shutil, "which", lambda name: name if name == there else None)
    monkeypatch.setenv("CC", "my-gcc")
    monkeypatch.delenv("nnUNet_compile", raising=False)
    if there is None:
        with pytest.raises(UserError, match=r"no C compiler .* set nnUNet_compile=f"):
            require_compiler(CUDA)
    else:
        require_compiler(CUDA)
    require_compiler(torch.device("cpu"))
    monkeypatch.setenv("nnUNet_compile", "f")
    require_compiler(CUDA)
