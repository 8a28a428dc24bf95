from __future__ import annotations

from types import SimpleNamespace

from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks import loops
from benchmarks.loops import Loop, batches_in_store, compare_loops_on, run_loop
from benchmarks.plans import own_plan
from benchmarks.trainers import make_trainer
from nnunetv2_lwi.training.loading.augmentation_trial import Trial
from nnunetv2_lwi.training.loading.device_loader import DeviceLoader
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.benchmarks.conftest import CPU


def test_rates_of_all_trainers_and_no_utilisation_on_the_cpu(phantom):
    findings = compare_loops_on(own_plan(phantom), CPU, workers=0, duration=0.01)
    assert [c.candidate for c in findings.comparisons] == ["LWIInit", "LWISeg"]
    assert all(c.candidate_value.minimum > 0 and c.more_is_better and c.goal == 2 for c in findings.comparisons)
    assert findings.left_out == ["utilisation of the GPU, 0 workers: it needs pip install nvidia-ml-py"]


def test_the_rate_is_of_the_iterations_after_those_in_store(phantom, monkeypatch):
    now = 0.0

    def step(batch):
        nonlocal now
        now += 0.25
        assert batch["data"].shape == (2, 1, 8, 16, 16)

    monkeypatch.setattr(loops, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(loops, "timer", lambda: now)
    monkeypatch.setattr(loops, "batches_in_store", lambda loader: 3)
    trainer = make_trainer(nnUNetTrainer, own_plan(phantom), CPU)
    trainer.train_step = step
    assert run_loop(trainer, workers=0, duration=1.0) == Loop(rate=4.0, utilisation=None)
    assert now == (3 + 4) * 0.25


def test_what_is_in_store_depends_on_the_workers():
    workers = SimpleNamespace(num_cached=6, num_processes=4)
    assert batches_in_store(workers) == 16
    assert batches_in_store(DeviceLoader(workers, ComposeTransforms([]), CPU)) == 17


def test_no_workers_are_left_where_the_device_augments(phantom, monkeypatch):
    monkeypatch.setattr(nnUNetTrainerLWISeg, "may_augment_on_device", True)
    monkeypatch.setattr(Trial, "is_faster", True)
    trainer = make_trainer(nnUNetTrainerLWISeg, own_plan(phantom), CPU)
    assert run_loop(trainer, workers=1, duration=0.1).rate > 0
    assert isinstance(trainer.dataloader_train, DeviceLoader) and not trainer.dataloader_train.loader.initialized
