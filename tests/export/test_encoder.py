"""The encoder alone, in both forms: the same weights, with what a stranger has to know of them."""

from __future__ import annotations

import json
import pydoc

import pytest
import safetensors
import safetensors.torch
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.export import encoder as encoder_module


@pytest.fixture
def trained_encoder(finished) -> dict[str, torch.Tensor]:
    path = finished.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"
    weights = torch.load(path, weights_only=True)["network_weights"]
    return {key.removeprefix("encoder."): value for key, value in weights.items() if key.startswith("encoder.")}


def network_of(metadata: dict) -> nn.Module:
    """As a stranger builds it, from the metadata alone."""
    assert pydoc.locate(metadata["network_class"]) is not None
    arguments = (metadata["network_class"], metadata["arguments"], metadata["arguments_to_import"])
    return get_network_from_plans(*arguments, metadata["image_channels"], 5, deep_supervision=False)


def test_a_file_of_torch_loads_into_the_network_that_it_names(run_export, trained_encoder, tmp_path, capsys):
    run_export("--as", "encoder", "-o", tmp_path / "encoder.pth")
    content = torch.load(tmp_path / "encoder.pth", weights_only=True)
    network = network_of(content["metadata"])
    network.encoder.load_state_dict(content["state_dict"])
    assert all(torch.equal(value, trained_encoder[key]) for key, value in network.encoder.state_dict().items())
    said = capsys.readouterr().out
    assert "network.encoder.load_state_dict(torch.load('encoder.pth', weights_only=True)['state_dict'])" in said


def test_a_file_of_safetensors_holds_each_weight_once_and_loads_too(run_export, trained_encoder, tmp_path, capsys):
    path = tmp_path / "encoder.safetensors"
    run_export("--as", "encoder", "-o", path)
    with safetensors.safe_open(path, "pt") as opened:
        texts, names = opened.metadata(), set(opened.keys())
    assert (
        names < trained_encoder.keys() and {key for key in texts if key in trained_encoder} == trained_encoder.keys() - names
    )
    network = network_of({key: json.loads(text) for key, text in texts.items() if key not in trained_encoder})
    assert safetensors.torch.load_model(network.encoder, path) == (set(), [])
    assert all(torch.equal(value, trained_encoder[key]) for key, value in network.encoder.state_dict().items())
    assert "safetensors.torch.load_model(network.encoder, 'encoder.safetensors')" in capsys.readouterr().out


def test_the_metadata_say_on_what_it_was_trained_and_name_no_case(run_export, finished, tmp_path):
    run_export("--as", "encoder", "-o", tmp_path / "encoder.pth")
    metadata = torch.load(tmp_path / "encoder.pth", weights_only=True)["metadata"]
    assert metadata["patch_size"] == [8, 16, 16] and metadata["spacing"] == [2.0, 1.0, 1.0]
    assert metadata["normalization_schemes"] == ["ZScoreNormalization"] and len(metadata["digest"]) == 64
    assert metadata["provenance"]["plans_name"] == "nnUNetPlans" and metadata["provenance"]["number_of_cases"] == 4
    assert metadata["step1"]["init"]["epochs"] == 1
    assert "case_" not in json.dumps(metadata)


def test_safetensors_that_are_not_installed_are_told_before_anything(run_export, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_module, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"needs safetensors: pip install 'nnunetv2_lwi\[safetensors\]', or name a file"):
        run_export("--as", "encoder", "-o", tmp_path / "encoder.safetensors")
    assert not (tmp_path / "encoder.safetensors").exists()
