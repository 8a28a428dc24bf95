"""Step 1 in nnssl's form: what nnU-Net's loader asks of the file, and that loader itself where it is at hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.export.nnssl import export_nnssl
from nnunetv2_lwi.export.source import read_source
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from tests.export.conftest import shorten
from tests.networks_for_tests import unet_kwargs
from tests.tiny_dataset import PATCH, STRIDES, TinyDataset

OF_A_PLAN = {
    "dataset_name", "plans_name", "original_median_spacing_after_transp", "image_reader_writer", "transpose_forward",
    "transpose_backward", "configurations", "experiment_planner_used",
}  # fmt: skip
OF_A_CONFIGURATION = {
    "data_identifier", "preprocessor_name", "spacing_style", "normalization_schemes", "use_mask_for_norm",
    "resampling_fn_data", "resampling_fn_data_kwargs", "resampling_fn_mask", "resampling_fn_mask_kwargs", "spacing",
    "patch_size",
}  # fmt: skip
"""The fields of nnssl's dataclasses, which take no others and lack none."""
BY_MASTER = """
import sys, torch
from nnunetv2.training.nnUNetTrainer.pretraining.pretrainedTrainer import PretrainedTrainer
from nnunetv2.training.nnUNetTrainer.pretraining.dynamicPretrainedTrainer import DynamicPretrainedTrainer

path, out = sys.argv[1:]
plan = torch.load(path, weights_only=True)["nnssl_adaptation_plan"]
architecture, patch = plan["architecture_plans"], plan["recommended_downstream_patchsize"]
kwargs, imports = architecture["arch_kwargs"], architecture["arch_kwargs_requiring_import"]

def build():
    return PretrainedTrainer.build_network_architecture(architecture["arch_class_name"], kwargs, imports, patch, 1, 4, False)

same = (1, 1, patch, patch, plan["key_to_encoder"], plan["key_to_stem"], tuple(plan["keys_to_in_proj"]), plan["key_to_lpe"])
loaded, _ = PretrainedTrainer.load_pretrained_weights(build(), path, *same)
adapted, _ = DynamicPretrainedTrainer.load_pretrained_weights_dynamic(
    build(), path, *same, kwargs["kernel_sizes"], kwargs["n_stages"]
)
torch.save([network.encoder.state_dict() for network in (loaded, adapted)], out)
"""


def loaded_as_nnunet_does(path: Path, outputs: int) -> nn.Module:
    """The network that the file says, with the file's encoder and first layers in their places: strictly, by prefix."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    plan, weights = content["nnssl_adaptation_plan"], content["network_weights"]
    architecture = plan["architecture_plans"]
    network = get_network_from_plans(
        architecture["arch_class_name"],
        architecture["arch_kwargs"],
        architecture["arch_kwargs_requiring_import"],
        plan["pretrain_num_input_channels"],
        outputs,
        deep_supervision=False,
    )
    for place, prefix in ((network.key_to_encoder, "key_to_encoder"), (network.key_to_stem, "key_to_stem")):
        begin = f"{plan[prefix]}."
        part = {key.removeprefix(begin): value for key, value in weights.items() if key.startswith(begin)}
        network.get_submodule(place).load_state_dict(part)
    assert all(f"{key}.weight" in weights for key in plan["keys_to_in_proj"])
    return network


@pytest.fixture
def residual(make_dataset) -> TinyDataset:
    """A finished step 1 of a residual encoder U-Net."""
    dataset = make_dataset("residual", residual=True, arch_kwargs=unet_kwargs(STRIDES, residual=True))
    shorten(dataset)
    dataset.trainer(nnUNetTrainerLWIInit).run_training()
    return dataset


@pytest.fixture(params=["plain", "residual"])
def step1(request, finished) -> Path:
    dataset = finished if request.param == "plain" else request.getfixturevalue("residual")
    return dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"


@pytest.mark.filterwarnings("ignore:Network class .* not found")
def test_the_encoder_goes_where_nnunet_looks_for_it(step1, run_export, tmp_path):
    run_export("--as", "nnssl", "-o", tmp_path / "step1.pth")
    trained = torch.load(step1, weights_only=True)["network_weights"]
    state = loaded_as_nnunet_does(tmp_path / "step1.pth", outputs=4).state_dict()
    encoder = [key for key in state if key.startswith("encoder.")]
    assert len(encoder) > 10 and all(torch.equal(state[key], trained[key]) for key in encoder)


def test_the_plan_has_the_fields_of_nnssls(finished, run_export, tmp_path, capsys):
    run_export("--as", "nnssl", "-o", tmp_path / "step1.pth")
    content = torch.load(tmp_path / "step1.pth", weights_only=True)
    plan = content["nnssl_adaptation_plan"]
    assert set(plan["pretrain_plan"]) == OF_A_PLAN
    ((name, configuration),) = plan["pretrain_plan"]["configurations"].items()
    assert name == "3d_fullres" and set(configuration) == OF_A_CONFIGURATION
    assert configuration["patch_size"] == plan["recommended_downstream_patchsize"] == list(PATCH)
    assert configuration["spacing"] == [2.0, 1.0, 1.0] and plan["key_to_lpe"] is None
    assert plan["architecture_kwargs"]["n_stages"] == 3 and plan["pretrain_num_input_channels"] == 1
    assert {"type", "name", "apa_citations"} == set(content["citations"][0])
    assert "nnUNetv2_plan_like_dynamic -d ID -n NAME -pc" in capsys.readouterr().out


def test_the_stock_pretrained_weights_takes_it_too(finished, run_export, tmp_path):
    run_export("--as", "nnssl", "-o", tmp_path / "step1.pth")
    ours = torch.load(finished.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth", weights_only=True)
    theirs = torch.load(tmp_path / "step1.pth", weights_only=True)
    assert all(torch.equal(value, theirs["network_weights"][key]) for key, value in ours["network_weights"].items())
    assert "lwi" not in theirs and "case_" not in repr({**theirs, "network_weights": None})
    assert theirs["nnunetv2_lwi"]["provenance"]["number_of_cases"] == 4


@pytest.mark.parametrize("name", ["nnunetv2_lwi.networks.UNETR", "theirs.PlainConvUNet"])
def test_a_network_that_nnunet_does_not_build_there_is_refused(finished, tmp_path, name):
    source = read_source(finished.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth")
    source.step1.digest["architecture"]["network_class_name"] = name
    with pytest.raises(UserError, match=f"cannot build {re.escape(name)}, only PlainConvUNet and ResidualEncoderUNet"):
        export_nnssl(source, tmp_path / "step1.pth")
    assert not list(tmp_path.glob("*.pth"))


def environment_with_master() -> dict[str, Any]:
    """nnU-Net's master before the release that is installed, where NNUNET_MASTER is a folder with its source."""
    folder = os.environ.get("NNUNET_MASTER", "")
    return {**os.environ, "PYTHONPATH": folder} if Path(folder, "nnunetv2").is_dir() else dict(os.environ)


@pytest.mark.slow
def test_nnunets_master_loads_it(step1, run_export, tmp_path):
    run_export("--as", "nnssl", "-o", tmp_path / "step1.pth")
    command = [sys.executable, "-W", "ignore", "-c", BY_MASTER, str(tmp_path / "step1.pth"), str(tmp_path / "loaded.pth")]
    done = subprocess.run(command, env=environment_with_master(), capture_output=True, text=True, check=False, timeout=300)
    if "No module named 'nnunetv2.training.nnUNetTrainer.pretraining'" in done.stderr:
        pytest.skip("this nnU-Net cannot load nnssl's checkpoints; set NNUNET_MASTER to a folder with its master")
    assert done.returncode == 0, done.stderr[-3000:]
    trained = torch.load(step1, weights_only=True)["network_weights"]
    for encoder in torch.load(tmp_path / "loaded.pth", weights_only=True):
        assert all(torch.equal(value, trained[f"encoder.{key}"]) for key, value in encoder.items())
