"""The encoder of a step 1 for any use: a state dict and what it is of, in torch's form or that of safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.export.destination import writing
from nnunetv2_lwi.export.source import Source
from nnunetv2_lwi.handover.plain import plain

TORCH, SAFETENSORS = ".pth", ".safetensors"
PREFIX = "encoder."


def require_format(path: Path) -> None:
    """Raises:
    UserError: the file's form needs a package that is not installed.
    """
    if path.suffix == SAFETENSORS and find_spec("safetensors") is None:
        raise UserError(
            f"-o {path} needs safetensors: pip install 'nnunetv2_lwi[safetensors]', or name a file that ends in {TORCH}."
        )


def export_encoder(source: Source, path: Path) -> None:
    """Write the encoder's weights, by the keys of ``network.encoder.state_dict()``, with their metadata.

    As ``{"state_dict": ..., "metadata": ...}`` for ``torch.load(weights_only=True)``; or as safetensors, whose metadata are
    texts, here JSON. Tensors that go by two names stand in either file once; safetensors names one of them, and
    ``safetensors.torch.load_model`` knows.

    Raises:
        UserError: as :func:`~nnunetv2_lwi.export.destination.writing`.
    """
    weights, metadata = encoder_weights(source.step1.weights), source.metadata()
    with writing(path) as file:
        if path.suffix == SAFETENSORS:
            file.write(as_safetensors(weights, metadata))
        else:
            torch.save({"state_dict": weights, "metadata": plain(metadata)}, file)


def encoder_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the network whose keys begin by ``encoder.``, without it."""
    return {key.removeprefix(PREFIX): tensor for key, tensor in weights.items() if key.startswith(PREFIX)}


def as_safetensors(weights: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    """The content of a file of safetensors; a name that was left out stands in its metadata with the one that is there."""
    from safetensors.torch import save

    first: dict[tuple[Any, ...], str] = {}
    twins: dict[str, str] = {}
    for key, tensor in weights.items():
        memory = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if first.setdefault(memory, key) != key:
            twins[key] = first[memory]
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    return save({key: weights[key].contiguous() for key in first.values()}, {**texts, **twins})
