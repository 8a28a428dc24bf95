"""Two ranks over gloo: no unused parameters, their own patches, permutations and masks, gathered figures."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch
import torch.multiprocessing as mp
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_lwi.method.loss import PretextLoss
from nnunetv2_lwi.method.pretext_network import PretextNetwork
from nnunetv2_lwi.method.transformation import Transformation
from nnunetv2_lwi.planning.settings import LWISettings
from nnunetv2_lwi.training.machine.distributed import mean_over_steps
from nnunetv2_lwi.training.machine.randomness import get_random_state, make_generator
from nnunetv2_lwi.training.monitoring import validation
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.any_geometry.two_steps import record_batches
from tests.networks.conftest import SMALL
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
    for seed in SEEDS:
        torch.save(train_with_trainer(dataset, seed), f"{folder}/trainer_{seed}_{rank}.pth")
        torch.save(keep_loaded_weights(dataset, seed), f"{folder}/loaded_{seed}_{rank}.pth")
        torch.save(start_random(dataset, seed), f"{folder}/random_{seed}_{rank}.pth")
    torch.save(go_on(dataset, Path(folder)), f"{folder}/resumed_{rank}.pth")
    torch.save(validate(rank), f"{folder}/validated_{rank}.pth")
    dist.barrier()
    dist.destroy_process_group()


def complain_into(path: Path) -> None:
    """What C++ says before it aborts, and where Python was, would else be lost with the process."""
    os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), 2)
    faulthandler.enable()


def keep_loaded_weights(dataset: TinyDataset, seed: int | None) -> dict[str, Any]:
    """What step 2 starts from where weights were loaded of which it keeps the encoder's."""
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seed=seed, seg={"hand_over": "encoder"})
    trainer.initialize()
    for parameter in trainer.unwrapped_network.parameters():
        torch.nn.init.constant_(parameter, 7.0)
    trainer._keep_loaded_weights()
    state: dict[str, Any] = trainer.unwrapped_network.state_dict()
    return state


def start_random(dataset: TinyDataset, seed: int | None) -> dict[str, Any]:
    """What step 2 starts from where the plan names a scheme to draw its weights by."""
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seed=seed, seg={"start": "random", "initialization": "kaiming_normal"})
    trainer.initialize()
    trainer._start()
    state: dict[str, Any] = trainer.unwrapped_network.state_dict()
    return state


def go_on(dataset: TinyDataset, folder: Path) -> dict[str, Any]:
    """The first permutations that a rank draws: at the start, and where it goes on after some epochs."""

    def first_draws(epoch: int) -> torch.Tensor:
        trainer = dataset.trainer(nnUNetTrainerLWIInit, fold="all", seed=3)
        trainer.initialize()
        if epoch:
            trainer.current_epoch = epoch
            trainer.restore_random_state({**get_random_state(), "transformation": torch.Generator().get_state()})
        return torch.rand(8, generator=trainer.generator)

    return {str(epoch): first_draws(epoch) for epoch in (0, 1, 2)}


def validate(rank: int) -> dict[str, int]:
    """How many barriers each rank meets on the way through cases that do not share out evenly; one would wait for ever."""
    barriers = []
    evaluate = SimpleNamespace(
        on_case=lambda image, size: {"loss": 1.0},
        features_of_case=lambda image, size: [],
        loss=SimpleNamespace(order_weight=0),
        transformation=SimpleNamespace(slabs=1),
    )
    barrier, wait = validation.dist.barrier, validation.load_image
    validation.dist.barrier = lambda: (barriers.append(1), barrier())
    validation.load_image, validation.CASES_WITH_PICTURE = (lambda dataset, case: None), 0
    cases = [f"case_{number:03}" for number in range(101)]
    with TemporaryDirectory() as folder:
        summary = validation.validate_cases(
            evaluate, lambda case: None, cases, Path(folder), spacing=(1, 1, 1), batch_size=2, chance=1.0
        )
    validation.dist.barrier, validation.load_image = barrier, wait
    return {"barriers": len(barriers), "cases": len(summary["metric_per_case"])}


def train_pretext(rank: int, block: dict[str, Any]) -> dict[str, Any]:
    settings = LWISettings.from_configuration({"lwi": {"order_weight": 1.0, **block}})
    torch.manual_seed(rank)
    pretext = PretextNetwork.around(build_unet([[1, 1, 1], [2, 2, 2]]), settings, 1, PATCH)
    network = DistributedDataParallel(pretext)
    transformation = Transformation(PATCH, pretext.slabs, settings.masking if settings.reconstructs else None)
    loss = PretextLoss.of(settings, [level.index for level in pretext.order_heads.levels])
    generator = make_generator(10 + rank)
    outputs, orders = [], []
    for _ in range(3):
        batch = transformation(torch.randn(4, 1, *PATCH), generator)
        losses = loss(network(batch.masked), batch)
        losses["loss"].backward()
        outputs.append(losses)
        orders.append(batch.order)
    return {
        "mean": mean_over_steps(outputs)[0],
        "mine": torch.stack([output["loss"] for output in outputs]).mean().item(),
        "order": torch.stack(orders),
        "gradient": next(pretext.parameters()).grad,
    }


def train_with_trainer(dataset: TinyDataset, seed: int | None) -> dict[str, Any]:
    """Step 1's trainer as nnU-Net starts it on each GPU, but on a CPU: a distributed nnU-Net itself knows CUDA only."""
    masking = {"patch_size": [2, 2, 2]}
    trainer = dataset.trainer(nnUNetTrainerLWIInit, fold="all", seed=seed, num_subvolumes=8, masking=masking)
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
        drawn = read(f"random_{seed}")
        assert all(torch.equal(drawn[0][key], drawn[1][key]) for key in drawn[0])
        assert all(torch.equal(first["weights"][key], second["weights"][key]) for key in first["weights"])
    first_resumed, second_resumed = read("resumed")
    draws = [first_resumed["0"], *second_resumed.values()]
    assert not any(torch.equal(one, other) for number, one in enumerate(draws) for other in draws[:number])
    assert read("validated") == [{"barriers": 2, "cases": 101}] * 2


def test_a_network_whose_batch_norms_span_the_ranks_is_the_same_network():
    """nnU-Net converts them where it trains on several GPUs; here, in one process, they have nothing to exchange."""
    network = SMALL["unetr_pp"]
    pretext = PretextNetwork.around(network.build(2, 2), LWISettings(), 2, network.patch_size)
    keys, images = list(pretext.state_dict()), torch.randn(2, 2, *network.patch_size)
    torch.manual_seed(0)
    expected = deepcopy(pretext)(images).reconstruction
    converted = torch.nn.SyncBatchNorm.convert_sync_batchnorm(pretext)
    kinds = [type(module) for module in converted.modules()]
    assert torch.nn.SyncBatchNorm in kinds and torch.nn.BatchNorm3d not in kinds
    assert converted is pretext and list(converted.state_dict()) == keys
    torch.manual_seed(0)
    reconstruction = converted(images).reconstruction
    assert expected is not None and torch.allclose(reconstruction, expected, atol=1e-5)
    reconstruction.sum().backward()
    norm = next(module for module in converted.modules() if isinstance(module, torch.nn.SyncBatchNorm))
    assert norm.weight.grad is not None and norm.weight.grad.abs().sum() > 0
