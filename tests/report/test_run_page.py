"""The page of a run, read back and compared with the files that it is of."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.checkpoint import read_checkpoint
from nnunetv2_lwi.nnunet.target import read_target
from nnunetv2_lwi.planning.recipes import decide
from nnunetv2_lwi.report.examples import make_examples
from nnunetv2_lwi.report.validation import dice_tables
from nnunetv2_lwi.training.monitoring.validation import load_image
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from tests.report.conftest import DICE, NAMES, run_report, with_names
from tests.report.reading import read_page

pytestmark = pytest.mark.draws

STEP1, STEP2 = "nnUNetTrainerLWIInit", "nnUNetTrainerLWISeg"


@pytest.fixture(scope="module")
def page(page_file):
    return read_page(page_file)


def test_the_page_says_what_it_is_of_and_how_that_stands(page, finished):
    assert page.headings[0] == (1, "Dataset999_Tiny: 3d_fullres, nnUNetPlans, fold 0")
    assert [text for level, text in page.headings if level == 2] == [
        "Step 1: training",
        "Step 1: validation",
        "Step 1: pictures",
        "Step 2: training",
        "Step 2: validation",
        "Settings",
        "Provenance",
        "Warnings",
    ]
    assert page.text.count("epoch 2 of 2") == 2 and "finished" in page.text and "is not finished" not in page.text


def test_losses_and_accuracies_are_those_of_the_checkpoint(page, finished):
    logging = read_checkpoint(finished.output_folder(STEP1) / "checkpoint_final.pth")["logging"]
    for epoch in (0, 1):
        row = page.row("Values by epoch", str(epoch))
        for key in ("train_losses", "val_order_loss", "val_reconstruction_loss", "val_order_accuracy_level_2"):
            assert float(row[key]) == pytest.approx(logging[key][epoch], rel=1e-4)
    drawn = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg" and "aria-label" in attributes]
    alt = next(text for text in drawn if text.startswith("order accuracy by level"))
    assert f"level 2 val {logging['val_order_accuracy_level_2'][-1]:.3f}" in alt
    assert "chance, 0.500" in page.text
    second = read_checkpoint(finished.output_folder(STEP2) / "checkpoint_final.pth")["logging"]
    assert any(f"moving average (EMA) {second['ema_fg_dice'][-1]:.3f}" in text for text in drawn)
    by_class = [f"{name} {value:.3f}" for name, value in zip(NAMES, second["dice_per_class_or_region"][-1], strict=True)]
    assert any(all(one in text for one in by_class) for text in drawn)


def test_validations_are_those_of_the_summaries(page, finished):
    summary = json.loads((finished.output_folder(STEP1) / "validation" / "summary.json").read_text())
    for name, value in summary["mean"].items():
        assert page.row("Validation of step 1", name)["mean over cases"] == f"{value:.4f}"
    assert page.row("Dice in %, 2 validation cases", "mean over cases") == {
        "": "mean over cases",
        NAMES[0]: "80.00",
        NAMES[1]: "50.00",
        "average": "65.00",
    }
    assert page.row("Dice in % by case", "case_4") == {
        "case": "case_4",
        NAMES[0]: "70.00",
        NAMES[1]: "n/a",
        "average": "70.00",
    }
    assert set(DICE) < {row[0] for row in page.tables["Dice in % by case"]}


def test_settings_are_told_as_decided_with_the_reasons(page, finished):
    decision = decide("seg.hand_over", "measured")
    assert page.row("What the plan left open, decided", "lwi.seg.hand_over") == {
        "setting": "lwi.seg.hand_over",
        "value": decision.value,
        "reason": decision.reason,
    }
    assert page.row("The lwi block as decided", "lwi.order_weight") == {
        "setting": "lwi.order_weight",
        "value": "0.5",
        "from": "the plan",
    }
    assert page.row("The plan's configuration", "patch_size")["value"] == "8, 16, 16"


def test_what_another_version_decided_is_told_as_it_was(finished, tmp_path):
    """The order, say, which the plan left open and this version does not predict."""
    copy = tmp_path / finished.output_folder(STEP1).parent.name
    shutil.copytree(finished.output_folder(STEP1).parent, copy)
    for path in (copy / "fold_0").glob("checkpoint_*.pth"):
        checkpoint = torch.load(path, weights_only=True)
        block = checkpoint["init_args"]["plans"]["configurations"]["3d_fullres"]["lwi"]
        block["order_weight"] = None
        checkpoint["lwi"]["decisions"] = ["lwi.order_weight = 0.1: by coverage: 0.4", "lwi.seg.hand_over = encoder: fixed"]
        torch.save(checkpoint, path)
    run_report("-i", copy / "fold_0", "-o", tmp_path / "page.html")
    page = read_page(tmp_path / "page.html")
    row = page.row("What the plan left open, decided", "lwi.order_weight")
    assert (row["value"], row["reason"]) == ("0.1", "by coverage: 0.4")
    assert page.row("The lwi block as decided", "lwi.order_weight")["from"] == "decided: by coverage: 0.4"


def test_a_folder_that_was_renamed_has_a_page_without_slices(finished, tmp_path):
    """As --grow leaves the one before."""
    copy = tmp_path / finished.output_folder(STEP1).parent.name
    shutil.copytree(finished.output_folder(STEP1), copy / "fold_0_before_growth_1")
    run_report("-i", copy / "fold_0_before_growth_1", "-o", tmp_path / "page.html")
    assert "goes by another name than a fold" in read_page(tmp_path / "page.html").text
    shutil.copytree(finished.output_folder(STEP1), copy / "fold_0")
    run_report("-i", copy, "-o", tmp_path / "of_the_only_fold.html")


def test_cases_whose_names_have_dots_are_told_apart():
    entries = [{"prediction_file": f"a/1.3.6.1.{number}.nii.gz", "metrics": {"1": {"Dice": 0.5}}} for number in (100, 200)]
    summary = {"metric_per_case": entries, "mean": {"1": {"Dice": 0.5}}}
    dataset_json = {"labels": {"background": 0, "one": 1}, "file_ending": ".nii.gz"}
    shown = str(dice_tables(SimpleNamespace(summary=summary, dataset_json=dataset_json)))
    assert "2 validation cases" in shown and "1.3.6.1.100" in shown and "1.3.6.1.200" in shown


def test_provenance_is_that_of_the_checkpoint(page, finished):
    state = read_checkpoint(finished.output_folder(STEP1) / "checkpoint_final.pth")["lwi"]
    assert dict(page.tables["Versions"][1:]) == state["provenance"]["versions"]
    assert page.row("Where it comes from", "dataset_name")["value"] == "Dataset999_Tiny"
    assert ", ".join(state["provenance"]["cases"]) in page.texts
    assert {row[0] for row in page.tables["Digests of the preprocessed cases"][1:]} == set(state["run"]["contents"])


def test_names_are_shown_and_never_read(page_file):
    text = page_file.read_text(encoding="utf-8")
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    assert "default-src &#x27;none&#x27;" in policy[1]


def test_volumes_are_those_that_step_1_made(finished, tmp_path, monkeypatch):
    """By the trainer's own network, before it ended; and they stand in the page, slice beside slice."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    target = read_target("999", "nnUNetPlans", "3d_fullres", 0)
    checkpoint = finished.output_folder(STEP1) / "checkpoint_final.pth"
    ((case, ours),) = make_examples(checkpoint, target, 1).items()
    trainer = finished.trainer(nnUNetTrainerLWIInit, fold=0)
    trainer.initialize()
    trainer.load_checkpoint(str(checkpoint))
    trainer.network.eval()
    dataset = trainer.dataset_class(str(finished.cases), [case])
    theirs = trainer.evaluate.example(load_image(dataset, case), trainer.configuration_manager.spacing)
    for name in ("original", "shuffled", "masked", "reconstruction", "order", "order_probabilities"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-4, atol=1e-5)
    run_report("-d", "999", "-o", tmp_path / "page.html", "--slices", "1")
    page = read_page(tmp_path / "page.html")
    sprites = {a["alt"]: a["src"] for tag, a in page.tags if tag == "img" and "data-sprite" in a}
    assert [alt.removesuffix(f" of {case}") for alt in sprites] == [
        "original",
        "shuffled",
        "masked (input)",
        "reconstructed",
    ]
    image = np.array(Image.open(io.BytesIO(base64.b64decode(sprites[f"shuffled of {case}"].partition(",")[2]))))
    assert image.shape == (3 * 16, 3 * 16), "eight slices in a grid of three by three"
    low, high = np.percentile(theirs.original, (0.5, 99.5))
    expected = np.clip((theirs.shuffled[4] - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(image[16:32, 16:32], expected, atol=1)
    captions = json.loads(next(a for _, a in page.tags if "data-sprite" not in a and "data-columns" in a)["data-captions"])
    assert len(captions) == 8 and f"slab {theirs.order[1]} stands at position 1" in captions[4]


def test_a_folder_and_the_names_give_the_same_page(finished, page, tmp_path):
    run_report("-i", finished.output_folder(STEP1).parent, "-o", tmp_path / "page.html")
    assert read_page(tmp_path / "page.html").tables == page.tables


def test_a_folder_is_enough_where_plans_and_data_are_elsewhere(finished, tmp_path, monkeypatch):
    monkeypatch.delenv("nnUNet_preprocessed")
    run_report("-i", finished.output_folder(STEP2), "-o", tmp_path / "page.html")
    page = read_page(tmp_path / "page.html")
    assert (
        "stale" not in page.text and "No volumes slice by slice: The environment variable nnUNet_preprocessed" in page.text
    )
    assert page.row("The plan's configuration", "patch_size")["value"] == "8, 16, 16"


def test_a_plan_that_changed_is_told(finished, tmp_path, monkeypatch):
    """The page is of what was trained, and says that the plan now says otherwise."""
    shutil.copytree(finished.preprocessed, tmp_path / "pre")
    plans = json.loads((tmp_path / "pre" / "Dataset999_Tiny" / "nnUNetPlans.json").read_text())
    plans["configurations"]["3d_fullres"]["lwi"]["order_weight"] = 0.25
    (tmp_path / "pre" / "Dataset999_Tiny" / "nnUNetPlans.json").write_text(json.dumps(plans))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "pre"))
    run_report("-d", "999", "-o", tmp_path / "page.html")
    page = read_page(tmp_path / "page.html")
    assert "stale: lwi.order_weight: 0.5, here 0.25" in page.text
    assert page.row("The lwi block as decided", "lwi.order_weight")["value"] == "0.5"
    assert "No volumes slice by slice: The plan changed since" in page.text
    with pytest.raises(UserError, match="--slices 1 is not possible: The plan changed since"):
        run_report("-d", "999", "-o", tmp_path / "other.html", "--slices", "1")


def test_a_running_and_a_cut_training_have_a_page(dataset, tmp_path, monkeypatch):
    trainer = with_names(dataset).trainer(nnUNetTrainerLWIInit, init={"epochs": 5})
    dataset.write_plans(init={"epochs": 5})

    class Cut(Exception):
        pass

    def look_and_cut():
        run_report("-d", "999", "-o", tmp_path / f"epoch{trainer.current_epoch}.html")
        if trainer.current_epoch == 2:
            raise Cut

    monkeypatch.setattr(trainer, "on_epoch_start", lambda then=trainer.on_epoch_start: (look_and_cut(), then()))
    with pytest.raises(Cut):
        trainer.run_training()
    first, later = (read_page(tmp_path / f"epoch{epoch}.html") for epoch in (0, 2))
    assert "running" in first.text and "epoch 0 of 5" in first.text and "there is no checkpoint yet" in first.text
    assert "epoch 2 of 5" in later.text and "ends about" in later.text and "Step 1 is not finished (running)" in later.text
    epochs = int(re.search(r"curves end with its last checkpoint, (\d) epochs", later.text)[1])
    assert len(later.tables["Values by epoch"]) == 1 + epochs and epochs in (1, 2)
    assert "not begun" in later.text and "The validation has not been done yet." in later.text


def test_without_o_the_page_lies_in_the_folder_and_is_not_replaced_unasked(finished, capsys):
    path = finished.output_folder(STEP2) / "report.html"
    run_report("-d", "999", "--slices", "0")
    assert str(path) in capsys.readouterr().out and not [p for p in path.parent.iterdir() if p.name.endswith(".tmp")]
    path.write_text("mine")
    with pytest.raises(UserError, match=r"report\.html exists: append --overwrite"):
        run_report("-d", "999")
    assert path.read_text() == "mine"
    run_report("-d", "999", "--overwrite")
    read_page(path)
    path.unlink()


def test_a_checkpoint_that_would_run_code_is_refused(finished, tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("read",)

    model = finished.output_folder(STEP1).parent
    copy = tmp_path / "Dataset999_Tiny" / model.name
    shutil.copytree(model, copy)
    torch.save({"network_weights": {}, "evil": Evil()}, copy / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(UserError, match="would run code that is not known to be safe"):
        run_report("-i", copy / "fold_0", "-o", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_users_mistake_is_one_line(finished, refused, tmp_path):
    assert "Nothing was begun of Dataset999_Tiny" in refused("-d", "999", "-f", "3")
    assert "There is no folder" in refused("-i", tmp_path / "none")
    (tmp_path / "other").mkdir()
    assert "is no output folder of nnUNetTrainerLWIInit" in refused("-i", tmp_path / "other")
    assert "-i names a folder" in refused("-i", tmp_path / "other", "-c", "3d_fullres")
    assert "must end in .html" in refused("-d", "999", "-o", tmp_path / "page.txt")
    assert "there is no folder" in refused("-d", "999", "-o", tmp_path / "none" / "page.html")
    assert "--slices -1 must be at least 0" in refused("-d", "999", "--slices", "-1")
    (tmp_path / "folder.html").mkdir()
    assert "is a folder" in refused("-d", "999", "-o", tmp_path / "folder.html")
    model = tmp_path / f"{STEP1}__a__b"
    for fold in ("fold_0", "fold_1"):
        (model / fold).mkdir(parents=True)
    assert "has: fold_0, fold_1" in refused("-i", model)
