"""``nnUNetv2_lwi train`` in the processes that torchrun started: on one machine, on two, and after a rank was killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from nnunetv2.run import load_pretrained_weights as nnunet_weights
from nnunetv2.run.run_training import find_free_network_port
from torch import distributed as dist

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.jobs import group
from nnunetv2_lwi.jobs.group import VARIABLES, Group, group_of_launcher
from nnunetv2_lwi.jobs.steps import Training
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from tests.tiny_dataset import NAME

CPU = torch.device("cpu")
SECONDS = 300
"""Ranks that wait for each other would wait for hours."""
SCRIPT = str(Path(__file__).with_name("rank.py"))
TRAIN = [SCRIPT, "train", "999", "3d_fullres", "0", "-device", "cpu"]


def launcher(*options: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *options, *TRAIN]


@pytest.fixture
def environment(tmp_path):
    """Of both launchers and ranks: without workers, so that what is drawn can be repeated."""
    folder = tmp_path / "ranks"
    folder.mkdir()
    own = {"RANKS_FOLDER": str(folder), "nnUNet_n_proc_DA": "0", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    without = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    return without | own | {"PYTHONPATH": str(Path(__file__).parents[2])}


def told(text: str) -> str:
    """Of a launcher that failed: what its ranks ended with, which warnings may follow, and how it ended."""
    causes = [line for line in text.splitlines() if re.search(r"Error\b|nnunetv2_lwi: ", line)]
    return "\n".join([*causes, "...", text[-3000:]])


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, told(done.stdout + done.stderr)
    return done.stdout


def kept(environment, step: str) -> list[dict]:
    return [torch.load(Path(environment["RANKS_FOLDER"]) / f"{step}_{rank}.pth", weights_only=True) for rank in range(2)]


def assert_same_on_both_ranks(environment) -> None:
    for step in ("init", "seg"):
        first, second = kept(environment, step)
        assert all(torch.equal(first["weights"][key], second["weights"][key]) for key in first["weights"])
        assert first["losses"] == second["losses"]


def spawned_rank(rank: int, folder: str, dataset) -> None:
    """As nnU-Net's own command trains on two GPUs (``-num_gpus 2``), but on the CPU."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.run_training()
    torch.save(
        {"weights": trainer.unwrapped_network.state_dict(), "losses": trainer.logger.get_value("train_losses", None)},
        f"{folder}/spawned_{rank}.pth",
    )
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture
def dataset_of_two(make_dataset, monkeypatch):
    """Written for both ranks: a seed in the plan, so that both ways of starting draw the same."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    dataset = make_dataset()
    dataset.write_plans(init={"epochs": 2}, seg={"epochs": 3}, seed=3)
    return dataset


def test_two_ranks_on_one_machine_train_both_steps_as_nnunets_own_two_would(dataset_of_two, environment, tmp_path):
    said = run(launcher("--nproc_per_node", "2", "--standalone"), environment)
    assert f"nnUNetv2_train {NAME} 3d_fullres 0 -tr nnUNetTrainerLWIInit -p nnUNetPlans -device cpu (2 processes)" in said
    assert_same_on_both_ranks(environment)
    folder = dataset_of_two.output_folder("nnUNetTrainerLWISeg")
    assert (folder / "checkpoint_final.pth").is_file()
    assert (folder / "validation" / "summary.json").is_file()
    assert len(list(folder.glob("training_log_*.txt"))) == 1, "one rank writes"
    assert "Start: step 1 of" in next(folder.glob("training_log_*.txt")).read_text()
    (dataset_of_two.results / NAME).rename(tmp_path / "results_of_launcher")
    mp.spawn(spawned_rank, args=(str(tmp_path), dataset_of_two), nprocs=2, join=True)
    spawned = torch.load(tmp_path / "spawned_0.pth", weights_only=True)
    launched = kept(environment, "init")[0]
    assert spawned["losses"] == launched["losses"]
    assert all(torch.equal(spawned["weights"][key], launched["weights"][key]) for key in spawned["weights"])


@pytest.mark.slow
def test_two_machines_of_one_rank_each(dataset_of_two, environment):
    """Two launchers on the loopback: local rank 0 in both, so that no process takes the global rank for it."""
    port = str(find_free_network_port())
    nodes = ("--nnodes", "2", "--nproc_per_node", "1", "--master_addr", "127.0.0.1", "--master_port", port)
    commands = [launcher(*nodes, "--node_rank", str(number)) for number in range(2)]
    processes = [subprocess.Popen(c, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for c in commands]
    said = [process.communicate()[0].decode(errors="replace") for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(text[-2000:] for text in said)
    assert_same_on_both_ranks(environment)


@pytest.mark.slow
def test_a_killed_rank_is_started_again_and_all_go_on(dataset_of_two, environment):
    said = run(launcher("--nproc_per_node", "2", "--standalone", "--max_restarts", "1"), environment | {"DIES": "seg,2,1"})
    assert (Path(environment["RANKS_FOLDER"]) / "died").is_file()
    assert "nnUNetTrainerLWIInit: skipped, step 2 has begun" in said
    assert_same_on_both_ranks(environment)
    assert all(rank["resumed"] and len(rank["losses"]) == 3 for rank in kept(environment, "seg"))


def test_a_launcher_that_is_asked_to_end_has_saved_within_the_epoch_and_goes_on(dataset_of_two, environment):
    """torchrun asks the loader's workers too, and they end at once; whichever rank notices first, it is saved."""
    dataset_of_two.write_plans(init={"epochs": 1}, seg={"epochs": 2}, seed=3, iterations_per_epoch=60)
    command = launcher("--nproc_per_node", "2", "--standalone")
    with_workers = environment | {"nnUNet_n_proc_DA": "2"}
    asked = subprocess.run(
        command, env=with_workers | {"ASKS": "seg,1,1"}, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    text = asked.stdout + asked.stderr
    assert asked.returncode != 0 and "was asked to end and is saved" in text, told(text)
    latest = dataset_of_two.output_folder("nnUNetTrainerLWISeg") / "checkpoint_latest.pth"
    saved = torch.load(latest, weights_only=True)
    assert saved["current_epoch"] == 1
    assert 5 <= len(saved["lwi"]["steps_of_epoch"]) < 60, "in the middle of an epoch"
    run(command, with_workers)
    assert all(rank["resumed"] and len(rank["losses"]) == 2 for rank in kept(environment, "seg"))


def test_what_the_first_rank_refuses_is_said_once(dataset_of_two, environment):
    dataset_of_two.write_plans(init={"epochs": 0})
    done = subprocess.run(
        launcher("--nproc_per_node", "2", "--standalone"), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.count("nnunetv2_lwi: lwi.init.epochs = 0 in the plan is not allowed") == 1


def test_a_mistake_that_the_first_rank_meets_before_any_training_ends_the_others_too(monkeypatch):
    """A data set that is not there, say: they wait for what it says."""
    said = []
    monkeypatch.setattr(group.dist, "broadcast_object_list", lambda objects, _: said.extend(objects))

    def trainings():
        raise UserError("Data set 998 is not there.")

    with pytest.raises(UserError, match="998"):
        next(group._said_by_the_first(group.Group(0, 2, 0, torch.device("cpu")), trainings))
    assert said == ["failed"]


def test_a_rank_reads_the_weights_that_it_starts_from_to_the_cpu(monkeypatch):
    def load(*_):
        raise UserError(f"read as torch does: {nnunet_weights.torch is torch}")

    monkeypatch.setattr(group, "get_trainer_from_args", lambda *_, **__: None)
    monkeypatch.setattr(group, "maybe_load_checkpoint", load)
    training = Training("Step 2", ["4", "3d_fullres", "0", "-pretrained_weights", "step1.pth"])
    with pytest.raises(UserError, match="read as torch does: False"):
        group.run_here(training, group.Group(5, 8, 1, torch.device("cpu")))


GIVEN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node0", "MASTER_PORT": "29500"}


@pytest.fixture
def given(monkeypatch):
    def give(**changes):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in (GIVEN | changes).items():
            if value is not None:
                monkeypatch.setenv(name, value)

    return give


def test_a_launcher_is_known_by_what_it_tells(given, monkeypatch):
    given()
    assert group_of_launcher("cpu", 1) == Group(3, 4, 1, CPU)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert group_of_launcher("cuda", 1) == Group(3, 4, 1, torch.device("cuda", 1))
    given(RANK=None)
    assert group_of_launcher("cpu", 1) is None
    given(WORLD_SIZE=None)
    assert group_of_launcher("cpu", 1) is None


def test_a_group_on_machines_without_a_gpu_is_told_so_in_one_line(given, monkeypatch):
    """Left out, -device is cuda; torch would end in a traceback, in every process."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    given()
    with pytest.raises(UserError, match="This machine has no CUDA device that torch can use: append -device cpu"):
        group_of_launcher("cuda", 1)


@pytest.mark.parametrize(
    ("changes", "device", "gpus", "message"),
    [
        ({"LOCAL_RANK": None, "MASTER_PORT": None}, "cpu", 1, "as by a launcher, but not LOCAL_RANK, MASTER_PORT"),
        ({"RANK": "first"}, "cpu", 1, "must be numbers"),
        ({}, "cuda", 2, "-num_gpus 2 in a group that a launcher started: each of its 4 processes has one GPU"),
        ({"LOCAL_RANK": "2"}, "cuda", 1, "Rank 3 is process 2 of its machine, where torch can use 2 GPUs"),
    ],
)
def test_what_a_launcher_leaves_out_is_one_line(given, monkeypatch, changes, device, gpus, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    given(**changes)
    with pytest.raises(UserError, match=message):
        group_of_launcher(device, gpus)
