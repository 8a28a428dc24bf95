"""What both trainers do with disks and checkpoints."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.checkpoint import read_checkpoint
from nnunetv2_lwi.training import base, preconditions, resumable
from nnunetv2_lwi.training.machine import devices
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import NAME

TRAINERS = pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])
RANDOM_START = {"epochs": 2, "start": "random"}


@TRAINERS
def test_latest_comes_after_best_and_holds_the_epoch_that_ended(dataset, monkeypatch, cls):
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    trainer = dataset.trainer(cls, seg=RANDOM_START)
    written = []
    save = trainer.save_checkpoint

    def note(filename):
        save(filename)
        written.append((Path(filename).stem, read_checkpoint(filename)["current_epoch"]))

    monkeypatch.setattr(trainer, "save_checkpoint", note)
    trainer.run_training()
    assert written[:2] == [("checkpoint_best", 1), ("checkpoint_latest", 1)]
    assert written[-1] == ("checkpoint_final", 2) and ("checkpoint_latest", 2) not in written


@TRAINERS
def test_latest_is_not_written_before_its_time(dataset, cls):
    trainer = dataset.trainer(cls, seg=RANDOM_START, init={"epochs": 2})
    trainer.run_training()
    before = {path.name for path in Path(trainer.output_folder).glob("checkpoint_*")}
    trainer.current_epoch = 1
    trainer.save_latest_if_due()
    assert before == {path.name for path in Path(trainer.output_folder).glob("checkpoint_*")}
    trainer._last_checkpoint_at -= resumable.SECONDS_BETWEEN_CHECKPOINTS
    trainer.save_latest_if_due()
    assert read_checkpoint(Path(trainer.output_folder) / "checkpoint_latest.pth")["current_epoch"] == 1


@TRAINERS
def test_a_gpu_that_is_too_small_is_told_in_one_line(dataset, monkeypatch, cls):
    """By nnU-Net it would be a traceback of torch."""
    monkeypatch.setattr(devices, "memory_of_gpu", lambda: 8 * 2**30)
    trainer = dataset.trainer(cls, seg=RANDOM_START)

    def train_step(batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(trainer, "train_step", train_step)
    with pytest.raises(UserError, match=r"GPU's 8\.0 GiB of memory do not suffice for batches of 2 with a patch of 8x16x16"):
        trainer.run_training()


@TRAINERS
@pytest.mark.parametrize(("there", "warns"), [(2**10, True), (2**40, False), (0, False)])
def test_a_gpu_that_is_too_small_by_estimate_is_warned_of(dataset, monkeypatch, cls, there, warns):
    monkeypatch.setattr(base, "memory_of_gpu", lambda: there)
    trainer = dataset.trainer(cls, seg=RANDOM_START)
    before = list(trainer.warnings)
    trainer.initialize()
    trainer._warn_of_memory(trainer.network, trainer.configuration_manager, 1)
    assert len(trainer.warnings) == len(before) + warns
    if warns:
        assert "of GPU memory by estimate, and the GPU has 0.0 GiB: lower batch_size or patch_size" in trainer.warnings[-1]


def test_an_estimate_that_fails_stops_no_training(dataset, monkeypatch):
    def fail(*args):
        raise RuntimeError("no kernel for meta")

    monkeypatch.setattr(base, "memory_of", fail)
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=RANDOM_START)
    trainer._warn_of_memory(torch.nn.Linear(1, 1), trainer.configuration_manager, 1)


@TRAINERS
@pytest.mark.parametrize(("device", "in_the_background"), [("cuda", True), ("mps", False), ("cpu", False)])
def test_batches_are_copied_in_the_background_to_cuda_alone(dataset, cls, device, in_the_background):
    """No other device keeps the source's memory until it has been read."""
    trainer = dataset.trainer(cls)
    trainer.device = torch.device(device)
    told = []
    trainer.on_device(SimpleNamespace(to=lambda target, non_blocking: told.append((target.type, non_blocking))))
    assert told == [(device, in_the_background)]


def test_what_a_kill_left_is_removed_when_training_starts(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=RANDOM_START)
    partial = Path(trainer.output_folder) / ".checkpoint_latest.pth.abc.tmp"
    partial.touch()
    trainer.on_train_start()
    assert not partial.exists()


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            UserError,
            "fold_0 could not be written: No space left on device",
        ),
        (OSError(errno.EDQUOT, "Quota used up", "/nowhere/x.png"), UserError, "/nowhere/x.png could not be written: Quota"),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            UserError,
            "fold_0 could not be read or written: Permission denied",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file"), FileNotFoundError, "No such file"),
    ],
    ids=["full", "quota", "rights", "mistake of a program"],
)
def test_a_full_disk_is_told_wherever_training_meets_it(dataset, monkeypatch, error, raised, words):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=RANDOM_START)

    def fail(folder):
        raise error

    monkeypatch.setattr(trainer.logger, "plot_progress_png", fail)
    with pytest.raises(raised, match=words):
        trainer.run_training()


@TRAINERS
def test_a_file_where_results_belong_is_told_before_any_work(dataset, cls):
    dataset.results.rmdir()
    dataset.results.touch()
    with pytest.raises(UserError, match=f"Nothing can be written to {dataset.output_folder(cls.__name__)}"):
        dataset.trainer(cls)


@TRAINERS
@pytest.mark.parametrize("linked", ["data set", "fold", None])
def test_a_refused_run_removes_what_it_made_and_no_folder_or_link_of_others(dataset, tmp_path, cls, linked):
    fold = dataset.output_folder(cls.__name__)
    link = {"data set": fold.parents[1], "fold": fold, None: fold.parents[1]}[linked]
    link.parent.mkdir(parents=True, exist_ok=True)
    if linked is None:
        link.mkdir()
    else:
        (tmp_path / "large_disk").mkdir()
        link.symlink_to(tmp_path / "large_disk")
    trainer = dataset.trainer(cls)
    assert fold.is_dir()
    trainer.discard_output()
    assert link.is_dir() and link.is_symlink() == (linked is not None) and not list(link.iterdir())


@pytest.mark.parametrize("there_before", [True, False])
def test_weights_and_biases_of_a_refused_run_go_too(dataset, there_before):
    fold = dataset.output_folder("nnUNetTrainerLWISeg")
    if there_before:
        (fold / "wandb").mkdir(parents=True)
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=RANDOM_START)
    (fold / "wandb" / "latest-run").mkdir(parents=True)
    trainer.discard_output()
    assert (fold / "wandb" / "latest-run").exists() == there_before
    assert bool(list(dataset.results.iterdir())) == there_before


def test_results_below_a_folder_of_that_name_are_not_taken_for_it(dataset, monkeypatch):
    """What another job writes there meanwhile must stay."""
    monkeypatch.setenv("nnUNet_results", str(dataset.results / "wandb"))
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=RANDOM_START)
    other = dataset.results / "wandb" / "Dataset998_Other"
    other.mkdir()
    trainer.discard_output()
    assert other.is_dir() and [path.name for path in (dataset.results / "wandb").iterdir()] == [other.name]


@TRAINERS
def test_a_run_of_other_cases_does_not_go_on(dataset, cls):
    """nnU-Net's random split, then the published one: what is validated now was trained on."""
    split, cases = dataset.preprocessed / NAME / "splits_final.json", [f"case_{number}" for number in range(5)]
    split.write_text(json.dumps([{"train": cases[:4], "val": cases[4:]}]))
    dataset.trainer(cls, seg=RANDOM_START).run_training()
    final = str(dataset.output_folder(cls.__name__) / "checkpoint_final.pth")
    dataset.trainer(cls, seg=RANDOM_START).load_checkpoint(final)
    split.write_text(json.dumps([{"train": cases[1:], "val": cases[:1]}]))
    with pytest.raises(UserError, match="is of another run than this: 1 training cases are new: case_4"):
        dataset.trainer(cls, seg=RANDOM_START).load_checkpoint(final)


def test_a_package_that_a_logger_needs_is_looked_for_first(dataset, monkeypatch):
    monkeypatch.setenv("nnUNet_wandb_enabled", "1")
    monkeypatch.setattr(preconditions, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="wandb is not installed: pip install wandb, or unset"):
        dataset.trainer(nnUNetTrainerLWISeg, seg=RANDOM_START)
    assert not list(dataset.results.iterdir())


@TRAINERS
def test_a_subclass_that_sets_its_own_length_and_rate_trains_by_them(dataset, cls):
    """As all of nnU-Net's variants do, after the constructor they inherit."""
    trainer = type(f"{cls.__name__}_3epochs", (cls,), {})
    trainer.__init__ = with_own_settings(cls.__init__)
    trainer = dataset.trainer(trainer, seg=RANDOM_START)
    trainer.run_training()
    rates = trainer.logger.get_checkpoint()["lrs"]
    expected = [0.5 * (1 - epoch / 3) ** 0.9 for epoch in range(3)]
    assert rates == pytest.approx(expected)
    assert trainer.optimizer.param_groups[0]["weight_decay"] == 0.25


def with_own_settings(inherited):
    def init(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):  # noqa: B008
        inherited(self, plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.initial_lr, self.weight_decay = 3, 0.5, 0.25

    return init


def test_a_subclass_that_leaves_no_epoch_after_the_warm_up_is_told(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 9, "warmup_epochs": 3, "start": "random"})
    trainer.num_epochs = 3
    with pytest.raises(UserError, match=r"trains 3 epochs, of which lwi\.seg\.warmup_epochs = 3 in the plan leaves none"):
        trainer.initialize()


@TRAINERS
def test_room_for_the_checkpoints_is_looked_at_first(dataset, cls, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"has 0 MiB free, and its checkpoints need about"):
        dataset.trainer(cls, seg=RANDOM_START)
    assert not list(dataset.results.iterdir())


def test_as_much_room_as_is_asked_for_is_needed(dataset):
    """Within a quarter: a checkpoint also holds the log and random states."""
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=RANDOM_START)
    trainer.run_training()
    asked = trainer._bytes_to_write(trainer.network)
    state = read_checkpoint(Path(trainer.output_folder) / "checkpoint_final.pth")
    tensors = [
        *state["network_weights"].values(),
        *(s["momentum_buffer"] for s in state["optimizer_state"]["state"].values()),
    ]
    held = sum(tensor.untyped_storage().nbytes() for tensor in {tensor.data_ptr(): tensor for tensor in tensors}.values())
    assert asked == pytest.approx(3 * held, rel=0.25)
