"""Reading and writing checkpoints: nothing is unpickled, and none is ever half written.

A checkpoint holds plain Python values and CPU tensors only, so that ``torch.load(weights_only=True)`` reads it.
"""

from __future__ import annotations

import errno
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from nnunetv2_lwi.disk import DISK_TROUBLE, disk_error_behind, writing_failed, written_whole
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.plain import plain
from nnunetv2_lwi.names import IN_ORDER_OF_RESUMING
from nnunetv2_lwi.nnunet.private import NUMPY_SCALARS

HOST = "cpu"

LWI_KEY = "lwi"
"""What is ours stands in a checkpoint under this key; everything else is nnU-Net's."""

FORMAT = 2
"""Of what stands under that key. In 1 a finished step 1 kept nothing back."""
READABLE = (1, FORMAT)
"""A checkpoint of another format is refused, not guessed at."""


def write_checkpoint(checkpoint: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a checkpoint, made plain and moved to the CPU, so that at any moment the old one or the new one is whole.

    Raises:
        UserError: the disk is full or does not take the file; the old checkpoint stands and no part of the new one.
    """
    try:
        with written_whole(path) as file:
            torch.save(plain(on_cpu(checkpoint)), file)
    except BaseException as error:
        refusal = disk_error_behind(error)
        if refusal is None:
            raise
        raise writing_failed(refusal, path) from error


def newest_checkpoint(fold_folder: Path) -> Path | None:
    """The one that a training of this folder would go on from, if there is any."""
    return next((fold_folder / name for name in IN_ORDER_OF_RESUMING if (fold_folder / name).is_file()), None)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint to the CPU without unpickling.

    Raises:
        UserError: there is none, or it is cut short, or no checkpoint, or holds what cannot be read safely.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}.")
    try:
        with path.open("rb") as file, warnings.catch_warnings(), torch.serialization.safe_globals(NUMPY_SCALARS):
            warnings.simplefilter("ignore")
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        trouble = _trouble_of_the_machine(error)
        if trouble is not None:
            raise UserError(f"{path} could not be read: {trouble}. It may be whole: mend that and try again.") from error
        raise UserError(f"{path} cannot be read as a checkpoint, {_reason(error)}. {_way_on(path)}") from error
    if not isinstance(checkpoint, dict) or not _is_state_dict(checkpoint.get("network_weights")):
        raise UserError(f"{path} is not a checkpoint of nnU-Net: it holds no network_weights. Use another one.")
    return checkpoint


def require_format(path: str | os.PathLike[str], ours: Mapping[str, Any]) -> None:
    """Raises:
    UserError: what is ours in a checkpoint was written by a version with another format.
    """
    if ours.get("format") not in READABLE:
        raise UserError(
            f"{path} was written by another version of nnunetv2_lwi: its format is {ours.get('format')}, this version reads "
            f"{' and '.join(map(str, READABLE))}. Use that version, or train again."
        )


def lacking_keys(content: Mapping[str, Any], blocks: Mapping[str, Iterable[str]]) -> list[str]:
    """Which blocks, or keys within them, a content lacks."""
    lacking = []
    for block, keys in blocks.items():
        if not isinstance(content.get(block), Mapping):
            lacking.append(block)
        else:
            lacking += [f"{block}.{key}" for key in keys if key not in content[block]]
    return lacking


def on_cpu(value: Any, moved: dict[StorageWeakRef, torch.Tensor] | None = None) -> Any:
    """The same with CPU tensors, which any machine can load, within any nesting of dicts, lists and tuples.

    What shares memory shares it afterwards, so that a file holds it once: a state dict names an encoder's weights again
    under the decoder that they belong to.

    Args:
        moved: the memory that was copied to the CPU so far.
    """
    moved = {} if moved is None else moved
    if isinstance(value, torch.Tensor):
        return _tensor_on_cpu(value.detach(), moved)
    if isinstance(value, Mapping):
        return {key: on_cpu(entry, moved) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(on_cpu(entry, moved) for entry in value)
    return value


def _tensor_on_cpu(tensor: torch.Tensor, moved: dict[StorageWeakRef, torch.Tensor]) -> torch.Tensor:
    if tensor.device.type == HOST:
        return tensor
    storage = tensor.untyped_storage()
    key = StorageWeakRef(storage)
    if key not in moved or moved[key].dtype != tensor.dtype:
        moved[key] = tensor.as_strided((storage.nbytes() // tensor.element_size(),), (1,), 0).cpu()
    return moved[key].as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(tensor, torch.Tensor) for tensor in value.values())


def _reason(error: BaseException) -> str:
    code = re.search(r"Unsupported (?:global: GLOBAL|class) (\S+)", str(error))
    if code:
        return f"for it would run code that is not known to be safe ({code[1]})"
    return "for it is cut short or no checkpoint at all"


def _trouble_of_the_machine(error: BaseException) -> str | None:
    """What went wrong beside the file, so that nobody throws good weights away; None where the file itself is no good."""
    disk = disk_error_behind(error)
    if disk is not None and disk.errno in DISK_TROUBLE:
        return disk.strerror
    out_of_memory = isinstance(error, MemoryError) or (disk is not None and disk.errno == errno.ENOMEM)
    if out_of_memory or any(words in str(error) for words in ("not enough memory", "allocate memory")):
        return "memory does not suffice"
    return None


def _way_on(path: Path) -> str:
    others = [name for name in IN_ORDER_OF_RESUMING if name != path.name and (path.parent / name).is_file()]
    if path.name not in IN_ORDER_OF_RESUMING or not others:
        return "Use another one, or train again."
    return f"Move it away and train with --c, which then goes on from {others[0]} beside it."
