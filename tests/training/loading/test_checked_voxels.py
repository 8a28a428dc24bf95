"""NaN and infinite voxels, undeclared labels: found without a false alarm, told before a batch is used."""

from __future__ import annotations

from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.loading.checked_voxels import CheckedDataset, CheckedVolume, VoxelChecks, is_finite
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.bad_input.training_rows import spoil


@pytest.mark.parametrize("voxel", [np.nan, np.inf, -np.inf])
def test_a_single_voxel_is_found(voxel):
    volume = np.ones((1, 4, 5, 6), np.float32)
    assert is_finite(volume)
    volume[0, 3, 4, 5] = voxel
    assert not is_finite(volume)


def test_infinities_that_cancel_are_found_and_large_numbers_are_no_alarm():
    assert not is_finite(np.array([np.inf, -np.inf], np.float32))
    assert is_finite(np.array([3e38, 3e38, -3e38], np.float32)), "their sum is infinite, they are not"
    assert is_finite(np.array([1, 2], np.int16)) and is_finite(np.empty(0, np.float32))


def test_only_what_is_read_is_looked_at():
    volume = np.zeros((1, 4, 4, 4), np.float32)
    volume[0, 3] = np.nan
    guard = VoxelChecks({"b", "a"})
    checked = CheckedVolume(volume, partial(guard.image, "a"))
    assert (checked[:, :3] == volume[:, :3]).all() and checked.shape == volume.shape
    guard.require()
    assert (checked[:, 2:] == 0).all(), "what a transform cannot choke on"
    with pytest.raises(UserError, match="case a has NaN"):
        guard.require()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_tells_this_one(method):
    """Python 3.14 no longer forks by default."""
    guard = VoxelChecks(["a", "b"])
    process = get_context(method).Process(target=partial(guard.image, "b", np.array([np.nan])))
    process.start()
    process.join()
    with pytest.raises(UserError, match="case b"):
        guard.require()


@pytest.mark.parametrize(("value", "found"), [(-1, False), (0, False), (2, False), (3, True), (-2, True)])
def test_a_label_that_is_not_declared_is_found_where_labels_are_used(value, found):
    labels = np.zeros((1, 2, 2, 2), np.int8)
    labels[0, 1, 1, 1] = value
    checks = VoxelChecks(["a"], highest_label=2)
    read = CheckedVolume(labels, partial(checks.labels, "a"))[:]
    if found:
        assert (read == 0).all(), "what the loss cannot choke on"
        with pytest.raises(UserError, match=f"labels of case a have the value {value}, which dataset.json does not declare"):
            checks.require()
    else:
        assert (read == labels).all()
        checks.require()
    unused = VoxelChecks(["a"])
    assert unused.labels("a", labels)


@pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])
@pytest.mark.parametrize("step", ["train_step", "validation_step"])
def test_a_batch_with_such_voxels_changes_nothing(world, cls, step):
    trainer = world.dataset.trainer(cls, seg={"epochs": 2, "start": "random"})
    trainer.on_train_start()
    loader = {"train_step": trainer.dataloader_train, "validation_step": trainer.dataloader_val}[step]
    getattr(trainer, step)(next(loader))
    before = {key: value.clone() for key, value in trainer.unwrapped_network.state_dict().items()}
    for case in range(5):
        spoil(world, np.nan, case)
    batch = next(loader)
    with pytest.raises(UserError, match="case case_"):
        getattr(trainer, step)(batch)
    assert all(torch.equal(before[key], value) for key, value in trainer.unwrapped_network.state_dict().items())


def test_the_loader_sees_the_same_data_set(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"})
    trainer.initialize()
    train, _ = trainer.get_tr_and_val_datasets()
    assert isinstance(train, CheckedDataset)
    plain = trainer.dataset_class(trainer.preprocessed_dataset_folder, list(train.identifiers))
    image, segmentation, previous, properties = train.load_case(train.identifiers[0])
    expected = plain.load_case(train.identifiers[0])
    assert (image[:] == expected[0][:]).all() and (segmentation[:] == expected[1][:]).all()
    assert previous is expected[2] is None and properties.keys() == expected[3].keys()


@pytest.mark.parametrize("cls", [nnUNetTrainerLWIInit, nnUNetTrainerLWISeg])
def test_no_step_waits_for_the_device(dataset, monkeypatch, cls):
    """On CUDA each of these would; the epoch's end may."""
    trainer = dataset.trainer(cls, seg={"epochs": 2, "start": "random"})
    trainer.on_train_start()
    batch = next(trainer.dataloader_train)

    def wait(*_, **__):
        raise AssertionError("this waits for the device")

    for name in ("item", "cpu", "numpy", "tolist", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, wait)
    outputs = trainer.train_step(batch)
    monkeypatch.undo()
    assert all(isinstance(value, torch.Tensor) for value in outputs.values())
