"""A CUDA device without a GPU: shapes, types and devices are followed as torch would, no number is ever computed.

It tells what CPU tensors cannot. An operation between a tensor there and one on the CPU raises, and so does what waits for
the device: asking for a number, since there is none, and copies of tensors from there, or to there and not ``non_blocking``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)


class PretendedCuda(TorchDispatchMode):
    """Within it tensors on CUDA are pretended; those on the CPU are real."""

    def __init__(self) -> None:
        super().__init__()
        self.fakes = FakeTensorMode(allow_non_fake_inputs=True)

    def __enter__(self) -> PretendedCuda:
        self.fakes.__enter__()  # beneath this mode: torch then does not look for a GPU
        super().__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self.fakes.__exit__(*raised)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Pretend what touches a pretended tensor, or makes one."""
        leaves = tree_leaves((args, kwargs or {}))
        require_no_wait(func, args, kwargs or {})
        if any(isinstance(leaf, FakeTensor) or (isinstance(leaf, torch.device) and leaf == CUDA) for leaf in leaves):
            return func(*args, **kwargs or {})
        with _disable_current_modes():
            return func(*args, **kwargs or {})


def require_no_wait(func: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Raises:
    RuntimeError: a copy between host and device that the host waits for.
    """
    if func is torch.ops.aten._to_copy.default:
        source, target = args[0].device, torch.device(kwargs.get("device") or args[0].device)
        non_blocking = kwargs.get("non_blocking", False)
    elif func is torch.ops.aten.copy_.default:
        source, target = args[1].device, args[0].device
        non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
    else:
        return
    if (source.type, target.type) == ("cuda", "cpu") or ((source.type, target.type) == ("cpu", "cuda") and not non_blocking):
        raise RuntimeError(f"a copy from {source} to {target} that the host waits for")


def pretend(network: nn.Module) -> nn.Module:
    """Move a network there, within the mode: its parameters and buffers, and nothing else that it holds."""
    for module in network.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                module._parameters[name] = nn.Parameter(torch.empty(parameter.shape, device=CUDA))
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=CUDA)
    return network
