"""Step 2 as a model of stock nnU-Net: the same predictions where this package cannot be imported."""

from __future__ import annotations

import json
import os
import pickletools
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.inference import predict_from_raw_data
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.model_sharing import model_export
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.export.conftest import shorten
from tests.networks.conftest import SMALL
from tests.tiny_dataset import NAME, TinyDataset, make_case
from tests.tiny_dataset import Options as DatasetOptions

STOCK = f"{NAME}/nnUNetTrainer__nnUNetPlans__3d_fullres"
ELSEWHERE = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "nnunetv2_lwi":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
import numpy as np, torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.model_sharing.model_import import install_model_from_zip_file

archive, model, image, out = sys.argv[1:]
install_model_from_zip_file(archive)
predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
predictor.initialize_from_trained_model_folder(model, (0, 1))
_, probabilities = predictor.predict_single_npy_array(
    np.load(image), {"spacing": [2.0, 1.0, 1.0]}, save_or_return_probabilities=True
)
np.save(out, probabilities)
assert predictor.trainer_name == "nnUNetTrainer" and not any(name.startswith("nnunetv2_lwi") for name in sys.modules)
"""
"""nnU-Net on a machine without this package: installs, predicts."""


def predicted_elsewhere(archive: Path, image: np.ndarray, folder: Path) -> np.ndarray:
    np.save(folder / "image.npy", image)
    results, out = folder / "elsewhere", folder / "out.npy"
    results.mkdir()
    environment = {**os.environ, "nnUNet_results": str(results)}
    environment.pop("nnUNet_extTrainer", None)
    files = [archive, results / STOCK, folder / "image.npy", out]
    command = [sys.executable, "-W", "ignore", "-c", ELSEWHERE, *map(str, files)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(out)


def predicted_here(model: Path, image: np.ndarray) -> np.ndarray:
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), (0, 1))
    assert predictor.trainer_name == "nnUNetTrainerLWISeg"
    properties = {"spacing": [2.0, 1.0, 1.0]}
    return predictor.predict_single_npy_array(image, properties, save_or_return_probabilities=True)[1]


def members(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def checkpoint_in(archive: Path, tmp_path: Path, fold: int = 0, name: str = "checkpoint_final.pth") -> dict[str, Any]:
    with zipfile.ZipFile(archive) as opened:
        return torch.load(opened.extract(f"{STOCK}/fold_{fold}/{name}", tmp_path), weights_only=True)


@pytest.mark.filterwarnings("ignore")
def test_it_predicts_the_same_without_this_package(finished, run_export, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_from_raw_data, "recursive_find_trainer_class_by_name", lambda _: nnUNetTrainerLWISeg)
    archive, (image, _) = tmp_path / "model.zip", make_case(7, DatasetOptions())
    run_export("--as", "nnunet", "-f", 1, 0, "-o", archive)
    here = predicted_here(finished.output_folder("nnUNetTrainerLWISeg").parent, image)
    assert np.array_equal(predicted_elsewhere(archive, image, tmp_path), here)
    assert here.shape[1:] == image.shape[1:] and here.std() > 0


def test_it_says_what_it_made_and_what_to_type_next(finished, run_export, tmp_path, capsys):
    archive = tmp_path / "my model.zip"
    run_export("--as", "nnunet", "-f", 0, 1, "-o", archive)
    said = capsys.readouterr().out
    size = f"{archive.stat().st_size / 2**20:.1f} MiB"
    assert f"Wrote {archive} ({size}): nnUNetTrainerLWISeg of {NAME}, plans nnUNetPlans" in said
    assert f"  nnUNetv2_install_pretrained_model_from_zip '{archive}'\n" in said
    assert f"  nnUNetv2_predict -i IN -o OUT -d {NAME} -c 3d_fullres -p nnUNetPlans -f 0 1\n" in said
    assert f"Installing overwrites {STOCK} in nnUNet_results" in said


def test_the_files_are_those_of_nnunets_own_export(finished, run_export, tmp_path, monkeypatch):
    """But for debug.json, which tells of the machine."""
    model = finished.output_folder("nnUNetTrainerLWISeg").parent
    found = model / "crossval_results_folds_0_1"
    found.mkdir()
    (found / "summary.json").write_text(json.dumps({"mean": {}, "metric_per_case": []}))
    (found / "postprocessing.json").write_text("{}")
    (found / "postprocessing.pkl").write_bytes(b"nnU-Net's")
    names = {"configurations": ("3d_fullres",), "trainer": "nnUNetTrainerLWISeg", "folds": (0, 1)}
    model_export.export_pretrained_model(NAME, str(tmp_path / "theirs.zip"), **names)
    run_export("--as", "nnunet", "-f", 0, 1, "-o", tmp_path / "ours.zip")
    theirs = {name.replace("LWISeg", "") for name in members(tmp_path / "theirs.zip")}
    ours = members(tmp_path / "ours.zip")
    assert set(ours) == {name for name in theirs if not name.endswith("debug.json")}
    assert ours[f"{STOCK}/crossval_results_folds_0_1/postprocessing.pkl"] == b"nnU-Net's"
    for name in ("plans.json", "dataset.json", "dataset_fingerprint.json"):
        assert json.loads(ours[f"{STOCK}/{name}"]) == json.loads((model / name).read_text())


def test_nothing_of_this_package_is_pickled(finished, run_export, tmp_path):
    run_export("--as", "nnunet", "-o", tmp_path / "model.zip")
    content = checkpoint_in(tmp_path / "model.zip", tmp_path)
    assert content["trainer_name"] == "nnUNetTrainer"
    with zipfile.ZipFile(tmp_path / f"{STOCK}/fold_0/checkpoint_final.pth") as pickled:
        (name,) = [name for name in pickled.namelist() if name.endswith("data.pkl")]
        opcodes = list(pickletools.genops(pickled.read(name)))
    names = {argument for opcode, argument, _ in opcodes if opcode.name == "GLOBAL"}
    assert {name.split(".")[0].split(" ")[0] for name in names} <= {"torch", "collections"}
    assert not any("nnunetv2_lwi" in str(argument) for opcode, argument, _ in opcodes if "GLOBAL" in opcode.name)


def test_names_of_cases_paths_and_voxels_stay_behind(finished, run_export, tmp_path):
    model = finished.output_folder("nnUNetTrainerLWISeg").parent
    description = json.loads((model / "dataset.json").read_text())
    listed = description | {"training": [{"image": "case_0"}], "dataset": {"case_1": {}}}
    (model / "dataset.json").write_text(json.dumps(listed))
    run_export("--as", "nnunet", "-o", tmp_path / "model.zip")
    ours = members(tmp_path / "model.zip")
    for name, content in ours.items():
        if name.endswith(".json"):
            assert b"case_" not in content and b"Surname" not in content and b"/home" not in content, name
    assert json.loads(ours[f"{STOCK}/dataset.json"]) == description
    assert json.loads(ours[f"{STOCK}/fold_0/validation/summary.json"])["metric_per_case"][0]["metrics"]["1"]["Dice"] == 0.4
    content = checkpoint_in(tmp_path / "model.zip", tmp_path)
    assert set(content["lwi"]) == {"exported_from", "start", "versions"}
    assert content["lwi"]["start"]["provenance"]["number_of_cases"] == 4
    assert "case_" not in repr({key: value for key, value in content.items() if key != "network_weights"})
    assert str(finished.results) not in repr(content["lwi"])


def test_nnunets_own_trainer_loads_the_checkpoint(trained, finished, run_export, tmp_path, monkeypatch):
    """To validate it, say; without the optimiser's momenta."""
    monkeypatch.setenv("nnUNet_preprocessed", str(trained.preprocessed))
    run_export("--as", "nnunet", "-o", tmp_path / "model.zip")
    content = checkpoint_in(tmp_path / "model.zip", tmp_path)
    assert content["optimizer_state"]["state"] == {}
    trainer = finished.trainer(nnUNetTrainer)
    trainer.load_checkpoint(str(tmp_path / f"{STOCK}/fold_0/checkpoint_final.pth"))
    assert trainer.current_epoch == 1
    assert all(torch.equal(value, content["network_weights"][key]) for key, value in trainer.network.state_dict().items())


def test_the_best_checkpoint_goes_by_its_own_name(finished, run_export, tmp_path, capsys):
    run_export("--as", "nnunet", "-o", tmp_path / "model.zip", "-chk", "checkpoint_best.pth")
    assert "-f 0 -chk checkpoint_best.pth" in capsys.readouterr().out
    assert checkpoint_in(tmp_path / "model.zip", tmp_path, name="checkpoint_best.pth")["trainer_name"] == "nnUNetTrainer"


def test_a_zip_is_replaced_only_where_that_is_asked_for(finished, run_export, tmp_path):
    archive = tmp_path / "model.zip"
    archive.write_bytes(b"old")
    with pytest.raises(UserError, match=r"-o .*model\.zip exists: append --overwrite to replace it"):
        run_export("--as", "nnunet", "-o", archive)
    assert archive.read_bytes() == b"old"
    run_export("--as", "nnunet", "-o", archive, "--overwrite")
    assert f"{STOCK}/plans.json" in members(archive)


def test_a_zip_that_is_there_stays_when_the_new_one_cannot_be_written(finished, run_export, tmp_path, monkeypatch):
    archive = tmp_path / "model.zip"
    archive.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(UserError, match=r"model\.zip could not be written: No space left on device\. What was there"):
        run_export("--as", "nnunet", "-o", archive, "--overwrite")
    assert archive.read_bytes() == b"old" and not list(tmp_path.glob(".model*"))


def test_folds_that_the_plans_do_not_fit_are_refused(finished, run_export, tmp_path):
    path = finished.output_folder("nnUNetTrainerLWISeg", 1) / "checkpoint_final.pth"
    content = torch.load(path, weights_only=True)
    content["network_weights"]["encoder.stages.0.0.convs.0.conv.weight"] = torch.zeros(1)
    torch.save(content, path)
    with pytest.raises(UserError, match=r"fold_1.* does not fit the network of .*plans\.json.* has shape \[1\], here"):
        run_export("--as", "nnunet", "-f", 0, 1, "-o", tmp_path / "model.zip")
    assert not (tmp_path / "model.zip").exists() and not list(tmp_path.glob(".model*"))


def test_another_trainers_checkpoint_is_refused(finished, run_export, tmp_path):
    step1, step2 = (finished.output_folder(f"nnUNetTrainerLWI{which}") / "checkpoint_final.pth" for which in ("Init", "Seg"))
    step2.write_bytes(step1.read_bytes())
    with pytest.raises(UserError, match="is a checkpoint of nnUNetTrainerLWIInit, where one of nnUNetTrainerLWISeg belongs"):
        run_export("--as", "nnunet", "-o", tmp_path / "model.zip")


@pytest.fixture
def unetr(make_dataset) -> TinyDataset:
    """A finished step 2 of a network of this package."""
    small = SMALL["unetr"]
    dataset = make_dataset("unetr", patch_size=tuple(small.patch_size), arch_kwargs=small.arch_kwargs)
    architecture = dataset.plans["configurations"]["3d_fullres"]["architecture"]
    architecture |= {"network_class_name": "nnunetv2_lwi.networks.UNETR", "_kw_requires_import": []}
    shorten(dataset)
    dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"}).run_training()
    return dataset


def test_a_network_that_nnunet_does_not_bring_is_given_away_only_where_that_is_meant(unetr, run_export, tmp_path, capsys):
    archive = tmp_path / "model.zip"
    with pytest.raises(UserError, match=r"nnunetv2_lwi\.networks\.UNETR is not one of nnU-Net's own: .* --needs-package"):
        run_export("--as", "nnunet", "-o", archive)
    assert not archive.exists()
    run_export("--as", "nnunet", "-o", archive, "--needs-package")
    assert "Next, where nnU-Net and nnunetv2_lwi are installed:" in capsys.readouterr().out
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "elsewhere")
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(tmp_path / "elsewhere" / STOCK), (0,))
    assert type(predictor.network).__name__ == "UNETR"
