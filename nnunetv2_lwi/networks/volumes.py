"""The volumes that a network's blocks give as it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def watching_volumes(network: nn.Module, note: Callable[[nn.Module, Tensor], None]) -> Iterator[None]:
    """Call ``note`` with every module and its output, if that is a volume (N, E, D, H, W), in the order of their runs."""

    def hook(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 5:
            note(module, output)

    hooks = [module.register_forward_hook(hook) for module in network.modules()]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


@torch.no_grad()
def features_by_stage(network: nn.Module, batch: Tensor) -> dict[str, Tensor]:
    """What the encoder hands over and what each stage of the decoder ends with.

    A stage of the decoder is told by the size of its volumes; its features are the last ones of that size before an output
    layer.

    Args:
        network: with ``encoder`` and ``decoder``, whose output layers are ``decoder.seg_layers``.
        batch: (N, C, D, H, W).

    Returns:
        (N, E, ...) by name: ``encoder 0``, ... from the finest, then ``decoder 1``, ... from the coarsest to the finest.
    """
    encoder, decoder = network.encoder, network.decoder
    of_others = {decoder, *encoder.modules(), *decoder.seg_layers.modules()}  # type: ignore[union-attr,operator]
    by_size: dict[int, Tensor] = {}

    def note(module: nn.Module, volume: Tensor) -> None:
        if module not in of_others:
            by_size[volume[0, 0].numel()] = volume

    levels = encoder(batch)  # type: ignore[operator]
    with watching_volumes(decoder, note):  # type: ignore[arg-type]
        network.decoder([*levels])  # type: ignore[operator]
    stages = {f"encoder {index}": level for index, level in enumerate(levels)}
    return stages | {f"decoder {number}": by_size[size] for number, size in enumerate(sorted(by_size), start=1)}
