"""What a network does to shapes and gradients, found on torch's meta device: nothing is computed, no memory is filled.

A network that cannot run there (one that reads a tensor's values, say) is run for real, once, where it is; one that
was built on the meta device has no weights to run with, and the error of the attempt is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nnunetv2_lwi.errors import UserError

Found = TypeVar("Found")

SAMPLES = 2
"""Batch normalisation in training needs more than one value a channel."""


def on_shapes(build: Callable[[], Found]) -> Found:
    """What ``build`` gives where torch makes tensors on the meta device, without memory; where it cannot there, for real."""
    try:
        with torch.device("meta"):
            return build()
    except RuntimeError:
        return build()


def run_on_shapes(module: nn.Module, channels: int, patch_size: Sequence[int]) -> Any:
    """Run a module on a batch of patches (2, C, D, H, W), without gradients and without changing its state."""
    with torch.no_grad(), in_mode(module, training=False):
        output, _ = call_on_shapes(module, (SAMPLES, channels, *patch_size))
    return output


def parameters_without_gradient(module: nn.Module, channels: int, patch_size: Sequence[int]) -> list[str]:
    """Names of the parameters that no output of the module depends on, found by one backward pass.

    The module returns tensors, or tuples and lists of them; None stands for no output.
    """
    with torch.enable_grad(), in_mode(module, training=True):
        output, parameters = call_on_shapes(module, (SAMPLES, channels, *patch_size))
        names = [name for name, parameter in parameters.items() if parameter.requires_grad]
        total = torch.stack([tensor.sum() for tensor in tensors_of(output)]).sum()
        gradients = torch.autograd.grad(total, [parameters[name] for name in names], allow_unused=True)
    return [name for name, gradient in zip(names, gradients, strict=True) if gradient is None]


def call_on_shapes(module: nn.Module, shape: tuple[int, ...]) -> tuple[Any, dict[str, Tensor]]:
    """A module's output on a batch of zeros of a shape, and the parameters that it was computed with."""
    parameters = {
        name: torch.empty_like(parameter, device="meta", requires_grad=parameter.requires_grad)
        for name, parameter in module.named_parameters()
    }
    buffers = {name: torch.empty_like(buffer, device="meta") for name, buffer in module.named_buffers()}
    try:
        return _call_with(module, parameters | buffers, torch.zeros(shape, device="meta")), parameters
    except RuntimeError:
        if any(parameter.is_meta for parameter in module.parameters()):
            raise
        return _run_for_real(module, shape)


def _run_for_real(module: nn.Module, shape: tuple[int, ...]) -> tuple[Any, dict[str, Tensor]]:
    parameters: dict[str, Tensor] = dict(module.named_parameters())
    device = next(iter(parameters.values())).device
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    try:
        return _call_with(module, parameters | buffers, torch.zeros(shape, device=device)), parameters
    except RuntimeError as error:
        raise UserError(f"The network of this plan does not accept a batch of shape {list(shape)}: {error}") from error


def _call_with(module: nn.Module, state: dict[str, Tensor], batch: Tensor) -> Any:
    """Call a module with another state.

    Not with ``tie_weights``: where a module can be reached by two names, as the encoder of nnU-Net's decoders can, that
    leaves the other state behind.
    """
    return functional_call(module, state, (batch,), tie_weights=False)


def tensors_of(output: Any) -> Iterator[Tensor]:
    """Of what a module returns: a tensor, or tuples and lists of them; None stands for no output."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (list, tuple)):
        for entry in output:
            yield from tensors_of(entry)


@contextmanager
def in_mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Put a module and its parts into one mode, and each back into its own."""
    before = {part: part.training for part in module.modules()}
    module.train(training)
    try:
        yield
    finally:
        for part, mode in before.items():
            part.training = mode
