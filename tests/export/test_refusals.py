"""What cannot be exported is told in one line, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_lwi.errors import UserError

FORMS = {"nnunet": "nnUNetTrainerLWISeg", "nnssl": "nnUNetTrainerLWIInit", "encoder": "nnUNetTrainerLWIInit"}
ENDING = {"nnunet": ".zip", "nnssl": ".pth", "encoder": ".pth"}


@pytest.mark.parametrize("form", FORMS)
def test_a_training_that_is_not_finished(finished, run_export, tmp_path, form):
    folder = finished.output_folder(FORMS[form])
    (folder / "checkpoint_final.pth").rename(folder / "checkpoint_latest.pth")
    for more in ((), ("-chk", "checkpoint_best.pth")):
        with pytest.raises(UserError, match=rf"{FORMS[form]} of .*, fold 0 is not finished .*only a finished training"):
            run_export("--as", form, "-o", tmp_path / f"out{ENDING[form]}", *more)
    with pytest.raises(UserError, match="fold 3 is missing"):
        run_export("--as", form, "-f", 3, "-o", tmp_path / f"out{ENDING[form]}")
    with pytest.raises(UserError, match=r"configuration other, fold 0 is missing"):
        run_export("--as", form, "-c", "other", "-o", tmp_path / f"out{ENDING[form]}")


def test_one_of_several_folds_that_is_not_finished(finished, run_export, tmp_path):
    with pytest.raises(UserError, match="fold 4 is missing"):
        run_export("--as", "nnunet", "-f", 0, 4, "-o", tmp_path / "out.zip")


def test_a_best_checkpoint_that_is_not_there(finished, run_export, tmp_path):
    (finished.output_folder("nnUNetTrainerLWISeg") / "checkpoint_best.pth").unlink()
    with pytest.raises(UserError, match=r"There is no .*checkpoint_best\.pth: leave -chk out"):
        run_export("--as", "nnunet", "-o", tmp_path / "out.zip", "-chk", "checkpoint_best.pth")


@pytest.mark.parametrize("form", ["nnssl", "encoder"])
def test_several_folds_where_one_belongs(finished, run_export, tmp_path, form):
    with pytest.raises(UserError, match=f"--as {form} takes one fold, not 2: name it with -f"):
        run_export("--as", form, "-f", 0, 1, "-o", tmp_path / "out.pth")


@pytest.mark.parametrize(
    ("form", "name", "message"),
    [
        ("nnunet", "model.pth", r"-o .*model\.pth must end in \.zip\."),
        ("nnssl", "step1.safetensors", r"must end in \.pth\."),
        ("encoder", "encoder", r"must end in \.pth or \.safetensors\."),
        ("nnunet", "gone/model.zip", r"there is no folder .*gone\. Make it"),
        ("nnunet", "folder.zip", r"folder\.zip is a folder: name a file"),
        ("nnssl", "there.pth", r"there\.pth exists: append --overwrite"),
    ],
)
def test_a_file_that_cannot_be_written(finished, run_export, tmp_path, form, name, message):
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "there.pth").touch()
    with pytest.raises(UserError, match=message):
        run_export("--as", form, "-o", tmp_path / name)


def test_a_training_is_never_overwritten_by_its_export(finished, run_export):
    final = finished.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"
    before = final.read_bytes()
    with pytest.raises(UserError, match="lies in the folder of the training that is exported"):
        run_export("--as", "nnssl", "-o", final, "--overwrite")
    assert final.read_bytes() == before


def test_a_checkpoint_that_is_cut_short(finished, run_export, tmp_path):
    for form, trainer in FORMS.items():
        path = finished.output_folder(trainer) / "checkpoint_final.pth"
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(UserError, match="cannot be read as a checkpoint"):
            run_export("--as", form, "-o", tmp_path / f"out{ENDING[form]}")
    assert not list(Path(tmp_path).glob("*out*"))
