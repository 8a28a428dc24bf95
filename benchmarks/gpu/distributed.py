"""A distributed training of one rank: NCCL, and batch normalisation across ranks, on a single GPU."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import distributed as dist

from benchmarks.datasets import SMALL
from benchmarks.gpu.runner import Figures, Place
from benchmarks.plans import make_plan
from benchmarks.trainers import CANDIDATES, make_batch, make_trainer


def one_rank(place: Place) -> Iterator[Figures]:
    """UNETR++, whose batch norms nnU-Net makes span the ranks.

    Raises:
        AssertionError: none does, or a loss is not finite.
    """
    plan = make_plan("unetr_pp_small", SMALL, {})
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        for name, cls in CANDIDATES.items():
            trainer = make_trainer(cls, plan, place.torch_device)
            norms = [module for module in trainer.network.modules() if isinstance(module, torch.nn.SyncBatchNorm)]
            assert trainer.is_ddp and norms, "no batch norm spans the ranks"
            batch = make_batch(trainer)
            losses = [float(trainer.train_step(dict(batch))["loss"]) for _ in range(3)]
            assert all(abs(loss) < float("inf") for loss in losses), losses
            yield {"trainer": name, "norms across ranks": len(norms), "loss": losses[-1]}
    finally:
        dist.destroy_process_group()
