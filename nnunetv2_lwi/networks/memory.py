"""How much memory a network takes to train, estimated from one run on shapes: nothing is computed, no GPU is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from nnunetv2_lwi.networks.dry_run import SAMPLES, call_on_shapes, in_mode, tensors_of

GIB = 2**30
STATES = {"SGD": 1, "AdamW": 2}
"""Of an optimiser, each as large as the weights."""
TENSORS_AT_ONCE = 2
"""Of the largest that the backward pass works on: a gradient with respect to an output, and one to an input."""
COPIES_BY_THE_LOSS = 5
"""Of full-resolution logits in float32: softmax, gradients, what Dice and cross entropy keep. 4.3 to 5.0 were measured."""


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes in float32, of one sample where they depend on samples.

    Attributes:
        saved: what the forward pass keeps for the backward pass.
        largest: the largest tensor among that.
        output: at full resolution.
    """

    weights: int
    saved: int
    largest: int
    output: int

    def needed(self, batch_size: int, optimizer: str, mixed_precision: bool, ranks: int = 1) -> int:
        """Bytes at the peak of an iteration, when the forward pass has just ended; what a GPU takes for itself is not in it.

        In mixed precision what is kept is half as large, and the weights are there once more, half as large. Where ranks
        share the work, each holds buckets as large as all gradients.

        Args:
            batch_size: of one rank.
        """
        part = 0.5 if mixed_precision else 1.0
        copies = 1 + STATES[optimizer] + (part if mixed_precision else 0) + (1 if ranks > 1 else 0)
        weights = self.weights * copies
        working = max(TENSORS_AT_ONCE * part * self.largest, COPIES_BY_THE_LOSS * self.output)
        return round(weights + batch_size * (part * self.saved + working))


def memory_of(module: nn.Module, channels: int, patch_size: Sequence[int]) -> TrainingMemory:
    """Of a network that returns tensors, or tuples and lists of them, full resolution first among those of a decoder."""
    parameters = {StorageWeakRef(one.untyped_storage()): _bytes(one) for one in module.parameters()}
    saved: dict[StorageWeakRef, int] = {}
    with torch.enable_grad(), in_mode(module, training=True), _noting(saved), _FusedAttention():
        output, state = call_on_shapes(module, (SAMPLES, channels, *patch_size))
    for one in state.values():
        saved.pop(StorageWeakRef(one.untyped_storage()), None)
    outputs = max((_bytes(one) for one in tensors_of(output)), default=0)
    of_a_sample = (sum(saved.values()), max(saved.values(), default=0), outputs)
    return TrainingMemory(sum(parameters.values()), *(size // SAMPLES for size in of_a_sample))


class _FusedAttention(TorchFunctionMode):
    """Attention that keeps what goes in and comes out and no map of all tokens against all, as it is done on a GPU.

    Where a network calls it by name; within torch's own modules (``nn.MultiheadAttention``) the map is counted.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is functional.scaled_dot_product_attention:
            return _attend(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _attend(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Any:
    return _Attention.apply(query, key, value)  # type: ignore[no-untyped-call]


class _Attention(torch.autograd.Function):
    """Of a run on shapes, which has no backward pass."""

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = query.new_empty((*query.shape[:-1], value.shape[-1]))
        context.save_for_backward(query, key, value, output)
        return output


@contextmanager
def _noting(saved: dict[StorageWeakRef, int]) -> Iterator[None]:
    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[StorageWeakRef(storage)] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
