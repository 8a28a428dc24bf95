"""Augmentation on the device: nnU-Net's workers read, crop and pad; the transforms run here, a batch ahead of the step."""

from __future__ import annotations

from typing import Any

import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from torch import Tensor

Batch = dict[str, Any]


class DeviceLoader:
    """A loader of untransformed patches, whose batches come augmented, on the device.

    On CUDA the next batch is copied and augmented on a stream of its own while the step that uses this one runs. Elsewhere
    a batch is made when it is asked for.

    Attributes:
        loader: nnU-Net's; its workers apply no transforms.
    """

    def __init__(self, loader: Any, transforms: ComposeTransforms, device: torch.device) -> None:
        self.loader = loader
        self.transforms = transforms
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._next: Batch | None = None

    def __iter__(self) -> DeviceLoader:
        return self

    def __next__(self) -> Batch:
        """``data`` (N, C, D, H, W), ``target`` as the loss takes it, ``keys`` of the cases."""
        if self._stream is None:
            return self._make()
        batch = self._ahead(self._stream) if self._next is None else self._next
        ready = torch.cuda.current_stream(self.device)
        ready.wait_stream(self._stream)
        for tensor in tensors_of(batch):
            tensor.record_stream(ready)
        self._next = self._ahead(self._stream)
        return batch

    def _ahead(self, stream: torch.cuda.Stream) -> Batch:
        with torch.cuda.stream(stream):
            return self._make()

    @torch.no_grad()
    def _make(self) -> Batch:
        return augment(next(self.loader), self.transforms, self.device)


def augment(batch: Batch, transforms: ComposeTransforms, device: torch.device) -> Batch:
    """Move a batch to the device and transform it sample by sample, as nnU-Net's loader does in its workers.

    Args:
        batch: ``data`` (N, C, D, H, W) and ``target`` (N, 1, D, H, W), cut larger than the patch for rotation's sake.
    """
    images = batch["data"].to(device, non_blocking=True)
    segmentations = batch["target"].to(device, non_blocking=True)
    samples = [transforms(image=i, segmentation=s) for i, s in zip(images, segmentations, strict=True)]
    targets = [sample["segmentation"] for sample in samples]
    scales = isinstance(targets[0], list)
    return {
        "data": torch.stack([sample["image"] for sample in samples]),
        "target": [torch.stack(scale) for scale in zip(*targets, strict=True)] if scales else torch.stack(targets),
        "keys": batch["keys"],
    }


def host_loader(loader: Any) -> Any:
    """nnU-Net's own loader, whose workers it knows how to end; the loader itself where nothing is around it."""
    return loader.loader if isinstance(loader, DeviceLoader) else loader


def tensors_of(batch: Batch) -> list[Tensor]:
    """Image and target, or targets of deep supervision."""
    target = batch["target"]
    return [batch["data"], *(target if isinstance(target, list) else [target])]
