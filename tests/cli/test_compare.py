"""``compare``: what it refuses before anything is written, its list, and the whole of it on a phantom."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest
import torch

from nnunetv2_lwi.cli import compare as compare_module
from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.datasets.phantom import write_phantom
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.commands import nnunet_environment, stock_command
from tests.tiny_dataset import NAME


@pytest.fixture
def output(dataset, tmp_path) -> Path:
    return tmp_path / "comparison"


def compare(output: Path, *more: str) -> None:
    main(["compare", "-d", "999", "-o", str(output), "-device", "cpu", "--set", "lwi.seg.epochs=25", *more])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--arms", "random,lwy"], "Did you mean lwi"),
        (["--cases", "5"], "from 1 to 4"),
        (["--seeds", "0"], "--seeds 0 must be at least 1"),
        (["--share", "1"], "--share 1.0 must be above 0 and below 1"),
        (["--sweep", "masking.ratio=0.2,1.5"], "masking.ratio = 1.5 in the plan is not allowed"),
        (["--sweep", "num_subvolumes=2,3"], "num_subvolumes"),
        (["--sweep", "num_subvolumes=1,2", "--set", "lwi.order_weight=0"], "it changes none of the arms random, lwi"),
        (["--arms", "lwi_unlabelled", "--rest-unlabelled", "--sweep", "init.unlabelled=0.5,true"], "there are none"),
        (["--sweep", "init.epochs=25"], "leave none to step 2"),
        (["--sweep", "init.epochs=3,4", "--share", "0.2"], "both say how long step 1 is"),
        (["--arms", "random,mask", "--sweep", "order_levels=[3],[2]"], "it changes none of the arms random, mask"),
        (["--set", "lwi.init.epochs=3"], "step 1's length follows from the baseline's"),
        (["--set", "lwi.init.epochs=3", "--budget", "added", "--share", "0.5"], "step 1's length follows"),
        (["--set", "lwi.seg.epoch=3"], "Did you mean lwi.seg.epochs"),
        (["--set", "spacing=[1,1,1]"], "uses the preprocessed data as they are"),
        (["--set", "lwi.init.warmup_epochs=4", "--set", "lwi.seg.warmup_epochs=0"], "lwi.init.warmup_epochs = 4"),
        (["-f", "all"], "-f all leaves no validation case"),
        (["-f", "7"], "0 to 4"),
        (["-c", "2d"], "2D"),
        (["--arms", "random", "--set", "patch_size=[9,16,16]"], "does not accept a batch of shape"),
        (["--arms", "random", "--set", "architecture.network_class_name=foo.Bar"], "foo.Bar"),
        (["--arms", "random", "--set", "patch_size=[2,16,16]"], "too thin"),
        (["-p", "other"], "There is no"),
        (["-d", "998"], "Data set 998"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(output, more, message):
    with pytest.raises(UserError, match=message):
        compare(output, *more)
    assert not output.exists()


def test_weights_that_do_not_fit_are_told_before_anything_is_written(output, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"none")
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        compare(output, "--arms", f"random,pretrained:{path}")
    torch.save({"network_weights": {"encoder.weight": torch.zeros(3)}, "trainer_name": "other"}, path)
    with pytest.raises(UserError, match=rf"--arms pretrained:{path} does not fit the network of this plan: .* is missing"):
        compare(output, "--arms", f"random,pretrained:{path}")
    assert not output.exists()


def test_step1_on_top_is_as_long_as_the_plan_says(output, capsys):
    compare(output, "--budget", "added", "--set", "lwi.init.epochs=9", "--arms", "lwi", "--seeds", "1", "--list")
    each = 2
    assert f"step 1 of lwi, 4 cases, seed 0, {9 * each} iterations" in capsys.readouterr().out


def test_a_validation_label_that_is_gone_is_told(output, dataset):
    labels = dataset.preprocessed / NAME / "gt_segmentations"
    for path in labels.iterdir():
        path.unlink()
    with pytest.raises(
        UserError, match=r"There is no .*case_\d.*, a validation case's label: run nnUNetv2_preprocess again"
    ):
        compare(output)
    assert not output.exists()


def test_a_list_and_a_report_need_no_gpu(output, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    main(["compare", "-d", "999", "-o", str(output), "--arms", "random, lwi", "--seeds", "1", "--list"])
    assert "2 runs, 3 trainings" in capsys.readouterr().out
    with pytest.raises(UserError, match="CUDA"):
        main(["compare", "-d", "999", "-o", str(output)])


def test_a_folder_of_something_else_stays_as_it_is(output):
    output.mkdir()
    (output / "thesis.txt").touch()
    with pytest.raises(UserError, match="holds something else"):
        compare(output)
    assert [path.name for path in output.iterdir()] == ["thesis.txt"]


def test_the_data_set_is_no_place_for_it(dataset, output):
    with pytest.raises(UserError, match="lies in the data set"):
        compare(dataset.preprocessed / NAME / "comparison")


def test_nor_by_way_of_a_link(dataset, output, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(dataset.preprocessed)
    with pytest.raises(UserError, match="lies in the data set"):
        compare(link / NAME / "comparison")


def test_a_folder_that_cannot_be_made_is_told(output, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Nothing can be written to .*name another folder with -o"):
        compare(tmp_path / "file" / "comparison")


def test_the_list_writes_nothing(output, capsys):
    compare(output, "--arms", "random,lwi,lwi_all", "--cases", "2,all", "--seeds", "1", "--list")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("to do    random, 2 cases, seed 0, 50 iterations (step2_")
    assert lines[-1] == f"6 runs, 7 trainings; {2 * 50 + 2 * 8 + 3 * 42} iterations left."
    assert not output.exists()


def test_the_first_stage_of_a_cascade_forgets_the_second(output, dataset, monkeypatch):
    """nnU-Net looks the next stage up after its validation; a training's own plans hold no other configuration."""
    path = dataset.preprocessed / NAME / "nnUNetPlans.json"
    plans = json.loads(path.read_text())
    plans["configurations"]["3d_fullres"]["next_stage"] = "3d_cascade_fullres"
    path.write_text(json.dumps(plans))
    listed = []
    monkeypatch.setattr(compare_module, "print_list", lambda runs, places: listed.extend(runs))
    compare(output, "--list")
    assert listed and not any("next_stage" in run.training.configuration for run in listed)


def test_there_is_no_report_before_there_is_a_result(output):
    with pytest.raises(UserError, match=r"No run in .* is finished yet"):
        compare(output, "--report")
    assert not output.exists()


def run_until_a_training_is_done_and_kill(command: list[str], environment: dict[str, str], output: Path) -> dict[Path, int]:
    """The results that were there when the process was killed, with the times of their files."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (results := list(output.rglob("result.json"))):
        assert process.poll() is None
        time.sleep(0.2)
    process.kill()
    process.wait(60)
    return {path: path.stat().st_mtime_ns for path in results}


@pytest.mark.slow
def test_a_whole_comparison_that_is_killed_and_goes_on(tmp_path):
    """On a phantom, through nnU-Net's commands: three arms, one seed."""
    folders = {name: tmp_path / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    environment = nnunet_environment(**folders, nnUNet_def_n_proc="2", nnUNet_n_proc_DA="1", nnUNet_compile="f")
    dataset = folders["nnUNet_raw"] / "Dataset005_Phantom"
    write_phantom(dataset, cases=6, test_cases=2)
    planning = stock_command("nnUNetv2_plan_and_preprocess", "-d", "5", "-c", "3d_fullres", "-np", "2", "-npfp", "2")
    subprocess.run(planning, env=environment, check=True, stdout=subprocess.DEVNULL)
    before = sorted(path for folder in folders.values() for path in folder.rglob("*"))

    output = tmp_path / "comparison"
    settings = {
        "lwi.seg.epochs": 4,
        "lwi.iterations_per_epoch": 1,
        "lwi.val_iterations_per_epoch": 1,
        "architecture.arch_kwargs.features_per_stage": [4, 8, 8, 8],
        "batch_size": 2,
    }
    words = ["compare", "-d", "5", "-o", str(output), "-device", "cpu", "--arms", "random,lwi,lwi_all", "--cases", "2,all"]
    words += ["--seeds", "1", "--share", "0.25"]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    command = [sys.executable, "-m", "nnunetv2_lwi.cli.main", *words]
    before_the_kill = run_until_a_training_is_done_and_kill(command, environment, output)
    assert len(before_the_kill) < 7
    processes = [subprocess.Popen(command, env=environment, stdout=PIPE, stderr=PIPE, text=True) for _ in range(2)]
    texts = [process.communicate(timeout=1800) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], texts
    begun = [line.partition("Now: ")[2] for printed, _ in texts for line in printed.splitlines() if "Now: " in line]
    assert len(begun) == len(set(begun)) == 7 - len(before_the_kill), "each once, and none that was done"
    assert {path: path.stat().st_mtime_ns for path in before_the_kill} == before_the_kill

    with (output / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["arm"] for row in rows] == ["random", "lwi", "lwi_all"] * 2
    for row in rows:
        assert 0 <= float(row["test_plain_Dice_average"]) <= 1 and row["test_mirrored_Dice_average"]
    assert rows[4]["test_plain_Dice_average"] == rows[5]["test_plain_Dice_average"], "lwi on all cases is lwi_all"
    report = (output / "comparison.md").read_text()
    assert "| 2 | lwi_all | 1 |" in report and "## What step 1 learned" in report
    assert all(0 <= float(row["probe_decoder 1_step 1"]) <= 1 for row in rows if row["arm"] != "random")
    assert (output / "comparison.png").is_file() and len(list((output / "cases").glob("*.png"))) == 4 * 3
    assert len(list((output / "trainings").iterdir())) == 2 + 5 and not list(output.rglob("checkpoint_best.pth"))
    assert sorted(path for folder in folders.values() for path in folder.rglob("*")) == before
    again = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "Now:" not in again.stdout
    assert not folders["nnUNet_results"].exists()
