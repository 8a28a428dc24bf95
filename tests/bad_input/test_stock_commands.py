"""A few mistakes through nnU-Net's own entry points, from the command line to the exit."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.run_training import run_training_entry

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.commands import trainers_folder
from tests.bad_input.checkpoints_rows import other_network
from tests.bad_input.hostile_rows import hostile
from tests.bad_input.table import World
from tests.bad_input.test_table import snapshot
from tests.bad_input.training_rows import spoil
from tests.networks_for_tests import build_unet
from tests.tiny_dataset import NAME, STRIDES


def type_and_run(world: World, *words: str) -> str:
    """nnUNetv2_train in this process; the line that ends it."""
    world.monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    world.type_command(*words)
    before = snapshot(world.root)
    with pytest.raises(UserError) as error:
        run_training_entry()
    assert snapshot(world.root) == before
    return error.value.message


@pytest.fixture(autouse=True)
def threads_as_before():
    """nnU-Net's command takes all cores."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore")
def test_what_nnunet_would_meet_with_a_traceback(world: World):
    """One test, for nnU-Net's look-up of a trainer takes seconds the first time."""
    misfit = str(other_network(world, build_unet(STRIDES, features=6)))
    assert "has shape [6, 1, 3, 3, 3], here [4, 1, 3, 3, 3]" in type_and_run(world, "-pretrained_weights", misfit)
    assert "not known to be safe" in type_and_run(world, "-pretrained_weights", str(hostile(world)))
    assert "Step 1 of this data set, plans, configuration and fold is missing" in type_and_run(world)


@pytest.mark.filterwarnings("ignore")
def test_nnunets_predictor_is_told_that_step_1_does_not_segment(world: World):
    model = world.place("nnUNetTrainerLWIInit").parents[1]
    save_json(world.dataset.plans, str(model / "plans.json"))
    save_json(world.dataset.dataset_json, str(model / "dataset.json"))
    world.monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    before = snapshot(world.root)
    with pytest.raises(UserError, match="learns starting weights and cannot predict"):
        nnUNetPredictor(device=torch.device("cpu")).initialize_from_trained_model_folder(str(model), (0,))
    assert snapshot(world.root) == before


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("trainer", ["nnUNetTrainerLWIInit", "nnUNetTrainerLWISeg"])
def test_bad_voxels_end_the_process_with_one_line(world: World, trainer: str, workers: str):
    """As users see it: exit code 1, and of the workers no word."""
    for case in range(5):
        spoil(world, float("nan"), case)
    world.write_plans(lwi=world.configuration["lwi"] | {"seg": {"start": "random"}})
    command = [sys.executable, "-m", "nnunetv2.run.run_training", NAME, "3d_fullres", "0", "-tr", trainer, "-device", "cpu"]
    environment = {**os.environ, "nnUNet_extTrainer": str(trainers_folder()), "nnUNet_n_proc_DA": workers}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if "Warning" not in line and not line.startswith("  ")]
    assert len(lines) == 1 and lines[0].startswith("nnunetv2_lwi: The preprocessed image of case case_"), result.stderr
    assert "Traceback" not in result.stdout
