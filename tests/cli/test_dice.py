"""``dice``: tables of what nnU-Net's evaluation wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.datasets.btcv import LABELS
from nnunetv2_lwi.errors import BadUsage, UserError

NAME = "Dataset017_BTCV"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The preprocessed data set, as far as it is read."""
    for variable in ("nnUNet_preprocessed", "nnUNet_raw", "nnUNet_results"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    folder = tmp_path / "nnUNet_preprocessed" / NAME
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({"labels": LABELS, "file_ending": ".nii.gz"}))
    return folder


@pytest.fixture
def summary(tmp_path: Path) -> Path:
    """One case, in which label n has the Dice n/100; the esophagus is nowhere."""
    metrics = {str(n): {"Dice": n / 100 if n != LABELS["esophagus"] else float("nan")} for n in range(1, 14)}
    path = tmp_path / "predictions" / "summary.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"mean": metrics, "metric_per_case": [{"metrics": metrics}]}))
    return path


def dice(*arguments: str | Path) -> None:
    main(["dice", *map(str, arguments), "-d", "17"])


def test_every_label_is_reported_with_what_the_average_leaves_out(folder, summary, capsys):
    dice(summary)
    header, _, row, _, note = capsys.readouterr().out.splitlines()
    assert header == f"| Dice in % | {' | '.join(list(LABELS)[1:])} | average |"
    assert row.startswith(f"| {summary.parent} | 1.00 | 2.00 | 3.00 | 4.00 | n/a | 6.00 |")
    assert row.endswith(f"| {(91 - 5) / 12:.2f} |")
    assert "esophagus in 0 of 1" in note


def test_synapse_reports_its_eight_organs(folder, summary, capsys):
    dice(summary, summary, "--which", "synapse")
    header, _, *rows = capsys.readouterr().out.splitlines()
    organs = "spleen | right kidney | left kidney | gallbladder | liver | stomach | aorta | pancreas"
    assert header == f"| Dice in % | {organs} | average |"
    values = "1.00 | 2.00 | 3.00 | 4.00 | 6.00 | 7.00 | 8.00 | 11.00 | 5.25"
    assert rows == [f"| {summary.parent} | {values} |"] * 2


def test_labels_can_be_chosen(folder, summary, capsys):
    dice(summary, "--labels", "pancreas, liver")
    assert capsys.readouterr().out.splitlines()[2] == f"| {summary.parent} | 11.00 | 6.00 | 8.50 |"


@pytest.mark.parametrize("unknown", ["kidney", "background", ""])
def test_a_label_that_the_data_set_lacks_is_told(folder, summary, unknown):
    with pytest.raises(UserError, match=f"has no label {unknown}: it has spleen, right kidney,"):
        dice(summary, "--labels", unknown)


@pytest.mark.parametrize(("content", "message"), [(None, "There is no"), ("{", "is no JSON"), ("[]", "JSON object")])
def test_a_file_that_cannot_be_read_is_told(folder, summary, content, message):
    summary.unlink()
    if content is not None:
        summary.write_text(content)
    with pytest.raises(UserError, match=message) as refusal:
        dice(summary)
    assert "\n" not in refusal.value.message


def test_a_data_set_that_does_not_exist_is_told(folder, summary):
    with pytest.raises(UserError, match="Data set 99 should be one folder Dataset099_NAME"):
        main(["dice", str(summary), "-d", "99"])


def test_validations_are_found_by_the_names_of_a_model(folder, summary, tmp_path, capsys):
    results = tmp_path / "nnUNet_results" / NAME
    a, b = "nnUNetTrainerLWISeg__A__3d_fullres", "nnUNetTrainerLWISeg__B__3d_fullres"
    others = ["nnUNetTrainerLWISeg__A__3d_lowres fold_0", "nnUNetTrainer__A__3d_fullres fold_0"]
    for model, fold in map(str.split, [f"{a} fold_0", f"{b} fold_0", f"{a} fold_all", *others]):
        place = results / model / fold / "validation"
        place.mkdir(parents=True)
        shutil.copy(summary, place)
    (results / a / "fold_1").mkdir()

    def titles(*words: str) -> list[str]:
        dice(*words)
        return [line.split(" | ")[0][2:] for line in capsys.readouterr().out.splitlines()[2:] if line.startswith("| ")]

    assert titles() == [f"{a} fold_0", f"{a} fold_all", f"{b} fold_0"]
    assert titles("-p", "B") == [f"{b} fold_0"]
    assert titles("-f", "all", "0", "-p", "A") == [f"{a} fold_all", f"{a} fold_0"]
    assert titles("-tr", "nnUNetTrainer") == others[1:]
    (results / a / "fold_0_before_growth_1" / "validation").mkdir(parents=True)
    shutil.copy(summary, results / a / "fold_0_before_growth_1" / "validation")
    assert titles("-p", "A") == [f"{a} fold_0", f"{a} fold_all"]
    with pytest.raises(
        UserError, match=r"No validation of fold 1, 2 of nnUNetTrainerLWISeg with configuration 3d_fullres is"
    ):
        dice("-f", "0", "1", "2")
    with pytest.raises(UserError, match=r"No validation of nnUNetTrainerLWISeg with configuration 3d_fullres, plans C is"):
        dice("-p", "C")
    with pytest.raises(BadUsage, match=r"summary\.json and -c, -p: name files, or a model, and not both"):
        dice(summary, "-p", "A", "-c", "3d_fullres")
