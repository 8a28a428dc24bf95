"""Augmentation on the device: nnU-Net's workers read, draw and cut; the transforms run here, while a step still computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from torch import Tensor

from nnunetv2_lwi.nnunet.private import end
from nnunetv2_lwi.training.loading.cut import SampleBySample
from nnunetv2_lwi.training.loading.device_transforms import Split

Batch = dict[str, Any]


class DeviceLoader:
    """A loader of samples that are cut, whose batches come augmented, on the device.

    On CUDA the next batch can be copied and augmented on a stream of its own, by :meth:`prepare`: best once the backward
    pass of a step is under way, beside which it then runs. Elsewhere a batch is made when it is asked for.

    Attributes:
        loader: nnU-Net's; its workers apply what :func:`~nnunetv2_lwi.training.loading.device_transforms.split` leaves them.
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
        self.prepare()
        batch, self._next = self._next, None
        assert batch is not None
        ready = torch.cuda.current_stream(self.device)
        ready.wait_stream(self._stream)
        for tensor in tensors_of(batch):
            tensor.record_stream(ready)
        return batch

    def prepare(self) -> None:
        """Begin to make the next batch on CUDA, unless that was done."""
        if self._stream is not None and self._next is None:
            with torch.cuda.stream(self._stream):
                self._next = self._make()

    @torch.no_grad()
    def _make(self) -> Batch:
        batch = next(self.loader)
        return augment(batch["samples"], self.transforms, self.device) | {"keys": batch["keys"]}


def moved_to_device(loader: Any, shared: Split, device: torch.device) -> DeviceLoader:
    """nnU-Net's loader, which has begun, with its augmentation moved to a device; its workers begin anew."""
    if isinstance(loader, NonDetMultiThreadedAugmenter):
        end(loader)
    loader_within(loader).transforms = None
    loader.transform = SampleBySample(shared.in_worker)
    return DeviceLoader(loader, shared.on_device, device)


def loader_within(loader: Any) -> Any:
    """nnU-Net's loader of batches, within what runs it in this process or in workers."""
    return loader.generator if isinstance(loader, NonDetMultiThreadedAugmenter) else loader.data_loader


def augment(samples: Sequence[dict[str, Any]], transforms: ComposeTransforms, device: torch.device) -> Batch:
    """Move samples to the device, transform each, as nnU-Net's loader does in its workers, and make a batch of them."""
    done = [transforms(**_moved(sample, device)) for sample in samples]
    targets = [sample["segmentation"] for sample in done]
    scales = isinstance(targets[0], list)
    return {
        "data": torch.stack([sample["image"] for sample in done]),
        "target": [torch.stack(scale) for scale in zip(*targets, strict=True)] if scales else torch.stack(targets),
    }


def _moved(sample: dict[str, Any], device: torch.device) -> dict[str, Any]:
    there = [key for key in ("image", "segmentation") if key in sample]
    return sample | {key: sample[key].to(device, non_blocking=True) for key in there}


def host_loader(loader: Any) -> Any:
    """nnU-Net's own loader, whose workers it knows how to end; the loader itself where nothing is around it."""
    return loader.loader if isinstance(loader, DeviceLoader) else loader


def tensors_of(batch: Batch) -> list[Tensor]:
    """Image and target, or targets of deep supervision."""
    target = batch["target"]
    return [batch["data"], *(target if isinstance(target, list) else [target])]
