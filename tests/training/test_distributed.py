"""Two ranks over gloo: no unused parameters, their own patches, permutations and masks, gathered figures."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet_trainer
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_lwi.method.loss import PretextLoss
from nnunetv2_lwi.method.pretext_network import PretextNetwork
from nnunetv2_lwi.method.transformation import Transformation
from nnunetv2_lwi.planning.settings import LWISettings
from nnunetv2_lwi.training.distributed import mean_over_steps
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from nnunetv2_lwi.training.randomness import make_generator
from tests.any_geometry.two_steps import record_batches
from tests.networks_for_tests import build_unet
from tests.tiny_dataset import TinyDataset

PATCH = (8, 8, 8)
SEEDS = [3, None]
BLOCKS = [{}, {"reconstruction_weight": 0}, {"order_weight": 0}]


def run_rank(rank: int, folder: str, dataset: TinyDataset) -> None:
    complain_into(Path(folder) / f"stderr_{rank}.txt")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    for number, block in enumerate(BLOCKS):
        torch.save(train_pretext(rank, block), f"{folder}/pretext_{number}_{rank}.pth")
    nnunet_trainer.DDP = lambda network, device_ids: DistributedDataParallel(network)
    for seed in SEEDS:
        torch.save(train_with_trainer(dataset, seed), f"{folder}/trainer_{seed}_{rank}.pth")
        torch.save(keep_loaded_weights(dataset, seed), f"{folder}/loaded_{seed}_{rank}.pth")
    dist.barrier()
    dist.destroy_process_group()


def complain_into(path: Path) -> None:
    """What C++ says before it aborts, and where Python was, would else be lost with the process."""
    os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), 2)
    faulthandler.enable()


def keep_loaded_weights(dataset: TinyDataset, seed: int | None) -> dict[str, Any]:
    """What step 2 starts from where weights were loaded of which it keeps the encoder's."""
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seed=seed)
    trainer.device, trainer.grad_scaler = torch.device("cpu"), None
    trainer.initialize()
    for parameter in trainer.unwrapped_network.parameters():
        torch.nn.init.constant_(parameter, 7.0)
    trainer._keep_loaded_weights()
    state: dict[str, Any] = trainer.unwrapped_network.state_dict()
    return state


def train_pretext(rank: int, block: dict[str, Any]) -> dict[str, Any]:
    settings = LWISettings.from_configuration({"lwi": block})
    torch.manual_seed(rank)
    pretext = PretextNetwork.around(build_unet([[1, 1, 1], [2, 2, 2]]), settings, 1, PATCH)
    network = DistributedDataParallel(pretext)
    transformation = Transformation(PATCH, pretext.slabs, settings.masking if settings.reconstructs else None)
    loss = PretextLoss.of(settings, [level.index for level in pretext.order_heads.levels])
    generator = make_generator(torch.device("cpu"), 10 + rank)
    outputs, orders = [], []
    for _ in range(3):
        batch = transformation(torch.randn(4, 1, *PATCH), generator)
        losses = loss(network(batch.masked), batch)
        losses["loss"].backward()
        outputs.append(losses)
        orders.append(batch.order)
    return {
        "mean": mean_over_steps(outputs),
        "mine": torch.stack([output["loss"] for output in outputs]).mean().item(),
        "order": torch.stack(orders),
        "gradient": next(pretext.parameters()).grad,
    }


def train_with_trainer(dataset: TinyDataset, seed: int | None) -> dict[str, Any]:
    """Step 1's trainer as nnU-Net starts it on each GPU, but on a CPU: a distributed nnU-Net itself knows CUDA only."""
    masking = {"patch_size": [2, 2, 2]}
    trainer = dataset.trainer(nnUNetTrainerLWIInit, fold="all", seed=seed, num_subvolumes=8, masking=masking)
    trainer.device, trainer.grad_scaler = torch.device("cpu"), None
    trainer.on_train_start()
    used = record_batches(trainer)
    trainer.on_train_epoch_end([trainer.train_step(next(trainer.dataloader_train)) for _ in range(2)])
    return {
        "volume": torch.stack([volume for volume, _ in used]),
        "order": torch.stack([batch.order for _, batch in used]),
        "mask": torch.stack([batch.masked == 0 for _, batch in used]),
        "losses": trainer.logger.get_value("train_losses", None),
        "weights": trainer.unwrapped_network.state_dict(),
    }


def test_two_ranks(make_dataset: Callable[..., TinyDataset], tmp_path: Path):
    dataset = make_dataset(scans=2)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    try:
        mp.spawn(run_rank, args=(str(tmp_path), dataset), nprocs=2, join=True)
    except mp.ProcessExitedException as error:
        said = "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(tmp_path.glob("stderr_*.txt")))
        raise AssertionError(f"{error}\n{said}") from error

    def read(name: str) -> list[dict[str, Any]]:
        return [torch.load(tmp_path / f"{name}_{rank}.pth", weights_only=True) for rank in range(2)]

    for number, block in enumerate(BLOCKS):
        first, second = read(f"pretext_{number}")
        assert first["mean"] == second["mean"]
        assert abs(first["mean"]["loss"] - (first["mine"] + second["mine"]) / 2) < 1e-5
        assert torch.equal(first["gradient"], second["gradient"])
        assert torch.equal(first["order"], second["order"]) == ("order_weight" in block)
    for seed in SEEDS:
        first, second = read(f"trainer_{seed}")
        for drawn in ("volume", "order", "mask"):
            for one, other in zip(first[drawn], second[drawn], strict=True):
                assert one.shape == other.shape and not torch.equal(one, other), (seed, drawn)
        assert first["losses"] == second["losses"] and len(first["losses"]) == 1
        loaded = read(f"loaded_{seed}")
        assert all(torch.equal(loaded[0][key], loaded[1][key]) for key in loaded[0])
        assert (loaded[0]["encoder.stages.0.0.convs.0.conv.weight"] == 7).all()
        assert not (loaded[0]["decoder.stages.0.convs.0.conv.weight"] == 7).any()
        assert all(torch.equal(first["weights"][key], second["weights"][key]) for key in first["weights"])
