"""Files that earlier versions wrote: plans as they are, checkpoints as skeletons whose tensors are drawn here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).parent


def read_plans(version: str) -> dict[str, Any]:
    """What ``nnUNetv2_lwi plan`` wrote."""
    plans: dict[str, Any] = json.loads((FOLDER / f"plans_{version}.json").read_text(encoding="utf-8"))
    return plans


def read_skeleton(step: str, version: str) -> dict[str, Any]:
    """A checkpoint of ``step1`` or ``step2`` with every key and value that it had, and other tensors of the same shapes."""
    content: dict[str, Any] = _decode(json.loads((FOLDER / f"{step}_{version}.json").read_text(encoding="utf-8")))
    return content


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    kind = next(iter(value), "")
    return _KINDS[kind](value[kind]) if kind in _KINDS else {key: _decode(entry) for key, entry in value.items()}


def _tensor(kind: list[Any]) -> torch.Tensor:
    dtype, shape = getattr(torch, kind[0]), kind[1]
    generator = torch.Generator().manual_seed(sum(shape))
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator, dtype=dtype)
    return torch.zeros(shape, dtype=dtype)


_KINDS = {
    "__tensor__": _tensor,
    "__items__": lambda items: {key: _decode(entry) for key, entry in items},
    "__tuple__": lambda entries: tuple(map(_decode, entries)),
    "__integers__": lambda length: [1] * length,
    "__device__": torch.device,
}
"""What JSON has no words for: tensors by type and shape, dicts with keys that are no text, tuples, long states, devices."""
