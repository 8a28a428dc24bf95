"""What earlier versions wrote into users' folders goes on working: plans, checkpoints, and the names that users import."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.suitability import changes_since, read_step2
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.earlier_versions.written_files import read_plans, read_skeleton
from tests.tiny_dataset import NAME, TinyDataset

VERSIONS = ["0.1.0"]
NAMES = [
    ("nnunetv2_lwi.networks", "Primus"),
    ("nnunetv2_lwi.networks", "SwinUNETR"),
    ("nnunetv2_lwi.networks", "UNETR"),
    ("nnunetv2_lwi.networks", "UNETRPlusPlus"),
    ("nnunetv2_lwi.networks.protocol", "Decoder"),
    ("nnunetv2_lwi.networks.protocol", "EncoderDecoder"),
    ("nnunetv2_lwi.training.nnUNetTrainerLWIInit", "nnUNetTrainerLWIInit"),
    ("nnunetv2_lwi.training.nnUNetTrainerLWISeg", "nnUNetTrainerLWISeg"),
]
"""In plans files, in the docs for users' own networks, and what users' own trainers derive from."""

MakeDataset = Callable[..., TinyDataset]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_the_names_that_users_have_can_be_imported(module: str, name: str):
    assert isinstance(getattr(importlib.import_module(module), name), type)


def place(dataset: TinyDataset, step: str, version: str) -> tuple[Path, dict[str, Any]]:
    """Put a checkpoint where its trainer had written it."""
    checkpoint = read_skeleton(step, version)
    folder = dataset.output_folder(checkpoint["trainer_name"])
    folder.mkdir(parents=True)
    torch.save(checkpoint, folder / "checkpoint_final.pth")
    return folder / "checkpoint_final.pth", checkpoint


def dataset_of_checkpoints(make_dataset: MakeDataset, version: str) -> TinyDataset:
    plans = read_skeleton("step1", version)["init_args"]["plans"]
    configuration = plans["configurations"]["3d_fullres"]
    dataset = make_dataset(
        patch_size=tuple(configuration["patch_size"]), arch_kwargs=configuration["architecture"]["arch_kwargs"]
    )
    assert dataset.plans["configurations"]["3d_fullres"] == configuration
    return dataset


@pytest.mark.parametrize("version", VERSIONS)
def test_plans_are_trained_as_they_were_written(make_dataset: MakeDataset, version: str):
    plans = read_plans(version)
    name = plans["nnunetv2_lwi"]["preset"]
    dataset = make_dataset()
    save_json(plans, str(dataset.preprocessed / NAME / f"{plans['plans_name']}.json"))
    configuration = PlansManager(plans).get_configuration(name)
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        1,
        3,
        deep_supervision=False,
    )
    for cls in (nnUNetTrainerLWIInit, nnUNetTrainerLWISeg):
        trainer = cls({**plans, "continue_training": False}, name, 0, dataset.dataset_json, torch.device("cpu"))
        trainer.run_training()
        assert trainer.unwrapped_network.state_dict().keys() == network.state_dict().keys()
    assert trainer.start["kind"] == "step1"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_step_1_starts_step_2(make_dataset: MakeDataset, version: str, capsys: pytest.CaptureFixture[str]):
    dataset = dataset_of_checkpoints(make_dataset, version)
    path, checkpoint = place(dataset, "step1", version)
    trainer = dataset.trainer(nnUNetTrainerLWISeg)
    trainer.on_train_start()
    assert trainer.start["kind"] == "step1"
    key = "encoder.stages.0.0.convs.0.conv.weight"
    assert torch.equal(trainer.unwrapped_network.state_dict()[key], checkpoint["network_weights"][key])
    main(["check", str(path), "-d", NAME])
    assert "It fits Dataset999_Tiny" in capsys.readouterr().out


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("step", "cls"), [("step1", nnUNetTrainerLWIInit), ("step2", nnUNetTrainerLWISeg)])
def test_a_training_goes_on(make_dataset: MakeDataset, version: str, step: str, cls: type):
    dataset = dataset_of_checkpoints(make_dataset, version)
    path, checkpoint = place(dataset, step, version)
    trainer = dataset.trainer(cls)
    trainer.load_checkpoint(str(path))
    assert trainer.current_epoch == checkpoint["current_epoch"]
    for key, tensor in trainer.unwrapped_network.state_dict().items():
        assert torch.equal(tensor, checkpoint["network_weights"][key]), key


@pytest.mark.parametrize("version", VERSIONS)
def test_a_step_2_of_another_default_is_told_and_stays_what_it_was(make_dataset: MakeDataset, version: str):
    """Version 0.1.0 handed over the whole network where the plan said nothing."""
    dataset = dataset_of_checkpoints(make_dataset, version)
    place(dataset, "step1", version)
    path, _ = place(dataset, "step2", version)
    with pytest.raises(UserError, match=r"was trained otherwise .*: lwi\.seg\.hand_over: 'network', here 'encoder'\. Move"):
        main(["train", NAME, "3d_fullres", "0", "-device", "cpu"])
    plans = deepcopy(dataset.plans)
    plans["configurations"]["3d_fullres"]["lwi"]["seg"]["hand_over"] = "network"
    assert changes_since(read_step2(path), plans, "3d_fullres", dataset.dataset_json) == []
