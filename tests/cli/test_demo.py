"""The demo from the command line: refusals, and what it runs and prints, with nnU-Net's commands replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_lwi.cli import demo as demo_module
from nnunetv2_lwi.cli.main import main, parse
from nnunetv2_lwi.demonstration.place import MARKER, Demo
from nnunetv2_lwi.demonstration.plans import DEMO_PLANS
from nnunetv2_lwi.demonstration.stages import Stage
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.names import STEP2_TRAINER
from tests.tiny_dataset import make_plans

CASES = 5
LABELS = {"background": 0, "head": 1, "tail": 2}


def write_raw(folder: Path, cases: int = CASES, test_images: bool = False, test_labels: bool = False) -> Path:
    """As much of a raw data set as the demo looks at; the files are empty."""
    for name in ("imagesTr", "labelsTr", *["imagesTs"] * test_images, *["labelsTs"] * test_labels):
        (folder / name).mkdir(parents=True)
        for case in range(cases):
            (folder / name / f"case_{case}.nii.gz").touch()
    (folder / "dataset.json").write_text(json.dumps({"labels": LABELS, "file_ending": ".nii.gz"}))
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw" / "Dataset007_Mine")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def files_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def start(output: Path, *more: str | Path) -> None:
    main(["demo", "-device", "cpu", "-o", str(output), *map(str, more)])


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In place of running a stage: what its command leaves behind. Returns the names of the stages so far."""
    done: list[str] = []

    def leave_behind(demo: Demo, number: int, stage: Stage) -> None:
        done.append(stage.name)
        if stage.name == "plan":
            demo.preprocessed.mkdir()
            (demo.preprocessed / "nnUNetPlans.json").write_text(json.dumps(make_plans()))
            (demo.preprocessed / "dataset.json").write_text(json.dumps({"labels": LABELS}))
        folder = {"step2": demo.fold(STEP2_TRAINER) / "validation", "evaluate": demo.predictions}.get(stage.name)
        if folder is not None:
            folder.mkdir(parents=True)
            value = 0.5 if stage.name == "step2" else 0.75
            mean = {"1": {"Dice": value}, "2": {"Dice": float("nan")}}
            (folder / "summary.json").write_text(json.dumps({"mean": mean}))

    monkeypatch.setattr(demo_module, "run_stage", leave_behind)
    return done


def break_nothing(folder: Path) -> Path:
    return folder.with_name("Dataset008_Missing")


def break_name(folder: Path) -> Path:
    return folder.rename(folder.with_name("Mine"))


def break_json(folder: Path) -> Path:
    (folder / "dataset.json").unlink()
    return folder


def break_images(folder: Path) -> Path:
    (folder / "imagesTr").rename(folder / "images")
    return folder


def break_labels(folder: Path) -> Path:
    (folder / "labelsTr" / "case_0.nii.gz").unlink()
    return folder


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (break_nothing, "no folder .*Dataset008_Missing"),
        (break_name, "Mine is not named as nnU-Net needs it"),
        (break_json, "dataset.json is missing"),
        (break_images, "imagesTr must exist and hold at least 5 .nii.gz files"),
        (break_labels, "labelsTr must exist and hold at least 5 .nii.gz files"),
    ],
)
def test_an_unusable_data_set_is_refused_before_anything_is_written(raw, output, commands, broken, named):
    dataset = broken(raw)
    with pytest.raises(UserError, match=named) as refusal:
        start(output, "-i", dataset)
    assert "\n" not in refusal.value.message
    assert not output.exists() and not commands


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_an_unreadable_dataset_json_is_refused(raw, output, commands, content):
    (raw / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=r"dataset\.json is missing, no JSON, or has no file_ending"):
        start(output, "-i", raw)
    assert not output.exists() and not commands


def test_an_earlier_demo_is_refused_without_overwrite(output, commands):
    output.mkdir()
    (output / MARKER).touch()
    with pytest.raises(UserError, match="--overwrite"):
        start(output)
    assert files_below(output) == [output / MARKER] and not commands


def test_a_device_that_is_not_there_is_told_before_an_earlier_demo_is_removed(output, commands, monkeypatch):
    output.mkdir()
    (output / MARKER).touch()
    (output / "predictions").mkdir()
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="CUDA"):
        start(output, "--overwrite", "-device", "cuda")
    assert (output / "predictions").is_dir() and not commands


def test_a_folder_that_cannot_be_made_is_told(tmp_path, commands):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Nothing can be written to .*give another -o"):
        start(tmp_path / "file" / "demo")
    assert not commands


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_folder_that_no_demo_made_is_never_touched(output, commands, more):
    output.mkdir()
    (output / "thesis.txt").touch()
    with pytest.raises(UserError, match="is not an earlier demo's"):
        start(output, *more)
    assert files_below(output) == [output / "thesis.txt"] and not commands


@pytest.mark.parametrize("where", ["inside", "around", "linked"])
def test_the_data_set_is_out_of_the_output_s_reach(raw, tmp_path, commands, where):
    (raw.parent / MARKER).touch()
    (tmp_path / "link").symlink_to(raw, target_is_directory=True)
    before = files_below(raw)
    output = {"inside": raw / "demo", "around": raw.parent, "linked": tmp_path / "link" / "demo"}[where]
    with pytest.raises(UserError, match="give another -o"):
        start(output, "-i", raw, "--overwrite")
    assert files_below(raw) == before and not commands


def test_overwrite_removes_an_earlier_demo_and_spares_the_data_set_it_linked(raw, output, commands):
    before = files_below(raw)
    start(output, "-i", raw)
    (output / "stale").touch()
    start(output, "-i", raw, "--overwrite")
    assert not (output / "stale").exists() and (output / MARKER).is_file()
    assert (output / "nnUNet_raw" / raw.name).readlink() == raw
    assert files_below(raw) == before


def test_an_empty_folder_serves_also_as_a_link_and_as_the_current_one(tmp_path, monkeypatch, commands):
    for name in ("real", "current"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    start(tmp_path / "link")
    assert (tmp_path / "real" / MARKER).is_file() and (tmp_path / "link").is_symlink()
    monkeypatch.chdir(tmp_path / "current")
    start(Path())
    assert Path(MARKER).is_file() and Path.cwd() == tmp_path / "current"


def test_the_phantom_goes_through_every_stage_and_ends_with_its_dice(output, commands, capsys):
    start(output)
    assert commands == ["plan", "step1", "step2", "predict", "evaluate"]
    assert len(list((output / "nnUNet_raw" / "Dataset001_Phantom" / "imagesTs").iterdir())) > 0
    out = capsys.readouterr().out
    assert "test images, mean over cases:\n    head: 0.750\n    tail: nan\n" in out
    for name in ("progress.png", "pictures", "checkpoint_final.pth"):
        assert str(output / "nnUNet_results") in out and name in out
    following = out.partition("Next, after the exports above:\n")[2].split("    #")[0].split()
    assert parse(following[1:]).subcommand == "report" and "Dataset001_Phantom" in following


def test_without_labelled_test_images_the_validation_s_dice_is_told(tmp_path, output, commands, capsys):
    start(output, "-i", write_raw(tmp_path / "Dataset007_Mine"))
    assert commands == ["plan", "step1", "step2"]
    assert "validation cases (no labelled test images), mean over cases:\n    head: 0.500" in capsys.readouterr().out


def test_test_images_without_labels_are_predicted(tmp_path, output, commands):
    start(output, "-i", write_raw(tmp_path / "Dataset007_Mine", test_images=True))
    assert commands == ["plan", "step1", "step2", "predict"]


def test_the_plans_are_the_demo_s_own_and_everything_else_is_nnunet_s(output, commands):
    start(output)
    folder = output / "nnUNet_preprocessed" / "Dataset001_Phantom"
    ours, theirs = (json.loads((folder / f"{name}.json").read_text()) for name in (DEMO_PLANS, "nnUNetPlans"))
    assert ours["plans_name"] == DEMO_PLANS and theirs == json.loads(json.dumps(make_plans()))
    assert list(ours["configurations"]) == ["3d_fullres"]
    changed = {"patch_size", "batch_size", "architecture", "lwi"}
    ours, theirs = (plans["configurations"]["3d_fullres"] for plans in (ours, theirs))
    assert {key for key in ours if ours[key] != theirs.get(key)} <= changed
