"""A training's own folders."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import torch

from nnunetv2_lwi.comparison.execution import describe_training
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import add_scans


def train(place, plans):
    cls = nnUNetTrainerLWIInit if place.training.is_step1 else nnUNetTrainerLWISeg
    plans["continue_training"] = False
    trainer = cls(plans, place.configuration_name, 0, place.source.dataset_json, torch.device("cpu"))
    trainer.run_training()
    return trainer


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_both_steps_run_in_them_and_the_users_folders_stay_as_they_were(make_design, make_places, source, monkeypatch):
    design = make_design("lwi_all", counts=(2,), seeds=1)
    design.configuration["lwi"]["seg"]["epochs"] = 3
    before = contents(source.preprocessed)
    step1, step2 = make_places(design.runs())
    for place in (step1, step2):
        place.prepare()
        place.prepare()
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        plans = json.loads((place.dataset / f"{place.plans_name}.json").read_text())
        trainer = train(place, plans)
        assert trainer.train_cases == place.training.train_cases and trainer.val_cases == place.training.val_cases
        assert Path(trainer.output_folder) == place.fold_folder
    assert isinstance(trainer, nnUNetTrainerLWISeg) and trainer.start["kind"] == "step1"
    assert sorted(trainer.start["provenance"]["cases"]) == sorted(design.pool)
    assert contents(source.preprocessed) == before


def test_step_1_finds_scans_without_labels_where_its_arm_is_to_see_them(
    make_design, make_places, dataset, source, monkeypatch
):
    add_scans(dataset, {"scan_1": 101, "scan_2": 102})
    scans = source.scans(source.plans["configurations"]["3d_fullres"])
    assert set(scans) == {"scan_1", "scan_2"} and min(scans.values()) > 0
    design = replace(make_design("lwi,lwi_unlabelled", counts=(2,), seeds=1), scans=scans)
    seen = {}
    for run in design.runs():
        (place,) = make_places([run])[:1]
        place.prepare()
        place.prepare()
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        trainer = train(place, json.loads((place.dataset / f"{place.plans_name}.json").read_text()))
        seen[run.arm] = sorted(trainer.record()["unlabelled"]["scans"])
        assert describe_training(place)["test_images"] == []
    assert seen == {"lwi": [], "lwi_unlabelled": ["scan_1", "scan_2"]}


def test_the_whole_folder_can_be_moved(make_design, make_places, tmp_path):
    step1, step2 = make_places(make_design("lwi", counts=(2,), seeds=1).runs())
    for place in (step1, step2):
        place.prepare()
    step1.fold_folder.mkdir(parents=True)
    links = [path for path in (step2.folder / "nnUNet_results").rglob("*") if path.is_symlink()]
    assert links and not any(os.path.isabs(os.readlink(link)) for link in links)
    step2.root.rename(tmp_path / "moved")
    moved = [tmp_path / "moved" / link.relative_to(step2.root) for link in links]
    assert all((link / "fold_0").is_dir() for link in moved)


def test_links_to_data_that_were_moved_are_renewed(make_design, make_places, source, tmp_path):
    place = make_places(make_design("random", counts=(2,), seeds=1).runs())[0]
    place.prepare()
    moved = tmp_path / "elsewhere" / source.name
    moved.parent.mkdir()
    source.preprocessed.rename(moved)
    links = [path for path in place.dataset.iterdir() if path.is_symlink()]
    assert links and not any(link.exists() for link in links)
    replace(place, source=replace(source, preprocessed=moved)).prepare()
    assert all(link.exists() for link in links)
