"""Both starts in a short training, by ``compare``."""

from __future__ import annotations

import csv
import os

import pytest
import torch

from benchmarks import datasets, start
from benchmarks.datasets import GivenDataset, prepare
from nnunetv2_lwi.datasets.phantom import write_phantom
from nnunetv2_lwi.errors import UserError


def written(path, **averages):
    """A comparison.csv: Dice of the cases by column, for each arm over two seeds."""
    rows = [{"arm": arm, "seed": seed, **values} for arm, by_seed in averages.items() for seed, values in enumerate(by_seed)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def scores(test, validation):
    return {"test_plain_Dice_average": test, "test_plain_HD95_average": 3.0, "validation_mirrored_Dice_average": validation}


def test_the_difference_is_that_of_means_over_seeds(tmp_path, capsys):
    path = written(
        tmp_path / "comparison.csv", random=[scores(0.6, 0.9), scores(0.7, 0.9)], lwi=[scores(0.9, 0.5), scores(0.5, 0.5)]
    )
    assert start.judge(path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Dice, test, plain: random 65.0, lwi 70.0, +5.0",
        "Dice, validation, mirrored: random 90.0, lwi 50.0, -40.0",
    ]


def test_a_learned_start_that_ends_behind_is_a_failure(tmp_path):
    assert start.judge(written(tmp_path / "comparison.csv", random=[scores(0.6, 0.5)], lwi=[scores(0.59, 0.9)])) == 1


def test_what_nnunet_cannot_use_is_one_line_and_writes_nothing(tmp_path):
    with pytest.raises(UserError, match="There is no folder"):
        start.main([str(tmp_path / "Dataset001_Nothing"), "--output", str(tmp_path / "out")])
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(tmp_path):
    write_phantom(tmp_path / "Dataset001_Phantom", cases=5, test_cases=0, shape=(16, 16, 16))
    with pytest.raises(UserError, match="no CUDA device"):
        start.parse([str(tmp_path / "Dataset001_Phantom"), "-device", "cuda"])


def test_other_data_under_the_same_name_are_not_taken_for_the_prepared_ones(tmp_path, monkeypatch):
    """Another folder of that name, or labels that were corrected; test cases are compared as they are."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path / "out" / name))
    calls = []
    monkeypatch.setattr(datasets, "run_command", lambda *_, **__: calls.append(1) and 0)
    folders = [tmp_path / where / "Dataset001_Phantom" for where in ("a", "b")]
    for folder in folders:
        write_phantom(folder, cases=5, test_cases=1, shape=(16, 16, 16))
    (tmp_path / "out" / "nnUNet_preprocessed" / "Dataset001_Phantom").mkdir(parents=True)
    prepare(GivenDataset(folders[0]))
    (folders[0] / "labelsTs" / "more.nii.gz").touch()
    prepare(GivenDataset(folders[0]))
    assert len(calls) == 1
    with pytest.raises(UserError, match=r"out is of another Dataset001_Phantom, or as it was: remove it, or name another"):
        prepare(GivenDataset(folders[1]))
    os.utime(next((folders[0] / "labelsTr").iterdir()), ns=(1, 1))
    with pytest.raises(UserError, match="or as it was"):
        prepare(GivenDataset(folders[0]))
    assert len(calls) == 1


def test_what_cannot_be_preprocessed_names_the_log(tmp_path, monkeypatch):
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path / name))
    dataset = tmp_path / "Dataset001_Broken"
    write_phantom(dataset, cases=5, test_cases=0, shape=(16, 16, 16))
    (dataset / "dataset.json").write_text("{}")
    with pytest.raises(
        UserError, match=r"could not plan and preprocess Dataset001_Broken: see the end of .*prepare_Dataset001_Broken\.log"
    ):
        prepare(GivenDataset(dataset))
    assert "KeyError" in (tmp_path / "prepare_Dataset001_Broken.log").read_text()


@pytest.mark.slow
def test_both_starts_are_trained_and_the_same_command_goes_on(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(start, "SETTINGS", start.SETTINGS | dict.fromkeys(list(start.SETTINGS)[1:], 1))
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, "")
    dataset = tmp_path / "Dataset001_Phantom"
    write_phantom(dataset, cases=5, test_cases=1, shape=(24, 24, 24))
    words = [str(dataset), "-device", "cpu", "--output", str(tmp_path / "out")]
    code = start.main(words)
    first = capfd.readouterr().out
    assert "Dice, test, plain: random " in first and "Now: step 1 of lwi" in first
    assert start.main(words) == code
    assert "Now:" not in capfd.readouterr().out
