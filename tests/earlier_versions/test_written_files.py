"""What earlier versions wrote into users' folders goes on working: plans, checkpoints, and the names that users import."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.suitability import changes_since, read_run
from nnunetv2_lwi.names import STEP2_TRAINER
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
    del dataset.plans["configurations"]["3d_fullres"]["lwi"]["order_weight"]
    dataset.write_plans()
    assert dataset.plans["configurations"]["3d_fullres"] == configuration
    return dataset


def with_the_papers_recipe(dataset: TinyDataset) -> TinyDataset:
    """As the plan has to say since it can be otherwise."""
    dataset.plans["configurations"]["3d_fullres"]["lwi"]["recipe"] = "paper"
    save_json(dataset.plans, str(dataset.preprocessed / NAME / "nnUNetPlans.json"))
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
    dataset = with_the_papers_recipe(dataset_of_checkpoints(make_dataset, version))
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
    dataset = with_the_papers_recipe(dataset_of_checkpoints(make_dataset, version))
    path, checkpoint = place(dataset, step, version)
    trainer = dataset.trainer(cls)
    trainer.load_checkpoint(str(path))
    assert trainer.current_epoch == checkpoint["current_epoch"]
    for key, tensor in trainer.unwrapped_network.state_dict().items():
        assert torch.equal(tensor, checkpoint["network_weights"][key]), key


@pytest.mark.parametrize("version", VERSIONS)
def test_where_the_plan_says_nothing_they_are_refused_by_name_with_the_way_back(make_dataset: MakeDataset, version: str):
    """Version 0.1.0 took the paper's method, and handed over the whole network."""
    dataset = dataset_of_checkpoints(make_dataset, version)
    path, _ = place(dataset, "step1", version)
    back = re.escape('("recipe": "paper" in the lwi block keeps what earlier versions took where a plan says nothing)')
    with pytest.raises(UserError, match=rf"is stale.*lwi\.order_heads: 'linear', here 'mlp'.*{back}"):
        dataset.trainer(nnUNetTrainerLWISeg).on_train_start()
    with pytest.raises(UserError, match=rf"does not fit .*lwi\.order_heads.*{back}"):
        dataset.trainer(nnUNetTrainerLWIInit).load_checkpoint(str(path))
    step2, _ = place(dataset, "step2", version)
    state, dataset_json = read_run(step2, STEP2_TRAINER), dataset.dataset_json
    changes = changes_since(state, STEP2_TRAINER, dataset.plans, "3d_fullres", dataset_json, None)
    assert "lwi.seg.hand_over: 'network', here 'encoder'" in changes
    plans = with_the_papers_recipe(dataset).plans
    assert changes_since(state, STEP2_TRAINER, plans, "3d_fullres", dataset_json, None) == []
