"""Scans without labels that come after step 1: told, and trained on from the old weights where that is asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.cli.test_check_and_train import PLANS, STEP, commands, finish, train  # noqa: F401
from tests.tiny_dataset import add_scans

STEP1 = [*STEP, "nnUNetTrainerLWIInit", *PLANS]


@pytest.fixture
def grown(make_dataset):
    """A data set with a finished step 1 on two scans, and a third scan that came since; and the step 1's checkpoint."""
    dataset = make_dataset(scans=2)
    dataset.trainer(nnUNetTrainerLWIInit).run_training()
    final = dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"
    finish(final.parent)
    add_scans(dataset, {"new": 300})
    return dataset, final


def ends_after_step1(commands):  # noqa: F811
    """No step 1 is trained here, so that ``train`` finds none to check."""
    with pytest.raises(UserError, match="There is no checkpoint"):
        train("--grow")
    (command,) = commands
    commands.clear()
    return command


def test_a_stale_step_1_is_refused_with_the_number_of_scans_and_the_way_on(grown, commands):  # noqa: F811
    with pytest.raises(UserError, match=r"scans without labels that are new: 1 \(new\)\. Append --grow to train on from"):
        train()
    assert commands == []


def test_it_grows_from_its_old_weights_which_are_kept(grown, commands, capsys):  # noqa: F811
    _, final = grown
    aside = final.parent.with_name("fold_0_before_growth_1") / final.name
    assert ends_after_step1(commands) == [*STEP1, "-pretrained_weights", str(aside)]
    assert aside.is_file() and not final.parent.exists()
    assert "new: 1 (new). The step 1 on fewer scans is kept in" in capsys.readouterr().out
    assert ends_after_step1(commands) == [*STEP1, "-pretrained_weights", str(aside)], (
        "killed before it began: the same again"
    )
    with pytest.raises(UserError, match="There is no checkpoint"):
        train()
    assert commands == [STEP1] and f"with --grow it would go on from {aside}" in capsys.readouterr().out


def test_growing_twice_goes_on_from_the_last(grown, commands):  # noqa: F811
    dataset, final = grown
    ends_after_step1(commands)
    dataset.trainer(nnUNetTrainerLWIInit).run_training()
    finish(final.parent)
    train("--grow")
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS]], "nothing is new: step 1 is finished"
    commands.clear()
    add_scans(dataset, {"newer": 301})
    assert ends_after_step1(commands)[-1].endswith("fold_0_before_growth_2/checkpoint_final.pth")


def test_an_unfinished_step_1_grows_too(grown, commands):  # noqa: F811
    _, final = grown
    final.rename(final.with_name("checkpoint_latest.pth"))
    assert ends_after_step1(commands)[-1].endswith("fold_0_before_growth_1/checkpoint_latest.pth")


def test_check_says_how_many_scans_a_step_1_saw(grown, capsys):
    main(["check", str(grown[1]), "-d", "999"])
    out = capsys.readouterr().out
    assert "4 cases and 2 scans without labels" in out and "that are new: 1 (new)" in out


def test_other_changes_are_no_growth(grown, commands):  # noqa: F811
    dataset, final = grown
    dataset.scans.remove("case_0")
    with pytest.raises(UserError, match="that are gone: 1") as error:
        train("--grow")
    assert "Append --grow" not in error.value.message and final.is_file() and commands == []


def test_a_step_2_that_has_begun_goes_on_and_the_new_scans_are_told(grown, commands, capsys):  # noqa: F811
    dataset, final = grown
    dataset.trainer(nnUNetTrainerLWISeg).run_training()
    folder = dataset.output_folder("nnUNetTrainerLWISeg")
    log = next(folder.glob("training_log*")).read_text()
    assert "WARNING: step 1 was another run than this: scans without labels that are new: 1 (new)." in log
    train()
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS, "--val"]]
    assert f"are new: 1 (new). To use them, move {folder} away and append --grow" in capsys.readouterr().out
    with pytest.raises(UserError, match="where step 2 has begun, move"):
        train("--grow")
    assert final.is_file()


def test_a_real_growth_begins_with_the_old_weights(grown, monkeypatch):
    """All of them, those of output layers and order heads too."""
    dataset, final = grown
    aside = Path(shutil.move(final.parent, final.parent.with_name("fold_0_before_growth_1"))) / final.name
    monkeypatch.setattr("sys.argv", ["nnUNetv2_train", "999", "3d_fullres", "0", "-pretrained_weights", str(aside)])
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.initialize()
    load_pretrained_weights(trainer.network, str(aside))
    begun = []

    def look():
        begun.append({key: tensor.clone() for key, tensor in trainer.network_of_plan.state_dict().items()})
        begun.append({key: tensor.clone() for key, tensor in trainer.pretext_network.order_heads.state_dict().items()})

    monkeypatch.setattr(trainer, "on_epoch_start", lambda then=trainer.on_epoch_start: (look(), then()))
    trainer.run_training()
    old = torch.load(aside, weights_only=True)
    learned, heads = {**old["network_weights"], **old["lwi"]["kept_back"]}, old["lwi"]["order_heads"]
    for theirs, ours in zip((learned, heads), begun[:2], strict=True):
        assert theirs.keys() == ours.keys() and all(torch.equal(theirs[key], ours[key]) for key in ours)
    assert any(".seg_layers." in key for key in learned) and heads
    assert trainer.start["kind"] == "pretrained_weights"
    assert len(trainer.record()["unlabelled"]["scans"]) == 3


def test_a_step_1_goes_on_without_the_heads_of_one_that_had_some(grown, monkeypatch):
    """As the default of today from a step 1 of an earlier one."""
    dataset, final = grown
    aside = Path(shutil.move(final.parent, final.parent.with_name("fold_0_old"))) / final.name
    monkeypatch.setattr("sys.argv", ["nnUNetv2_train", "999", "3d_fullres", "0", "-pretrained_weights", str(aside)])
    trainer = dataset.trainer(nnUNetTrainerLWIInit, order_weight=0.0)
    trainer.initialize()
    load_pretrained_weights(trainer.network, str(aside))
    trainer.run_training()
    assert trainer.start["kind"] == "pretrained_weights" and not trainer.pretext_network.order_heads.state_dict()


def test_the_same_command_goes_on_with_a_step_2_that_was_cut(grown, commands):  # noqa: F811
    dataset, final = grown
    ends_after_step1(commands)
    dataset.trainer(nnUNetTrainerLWIInit).run_training()
    finish(final.parent)
    dataset.trainer(nnUNetTrainerLWISeg).run_training()
    train("--grow")
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS, "--val"]]


def test_weights_that_were_put_aside_by_another_run_are_refused(grown, commands):  # noqa: F811
    dataset, _ = grown
    ends_after_step1(commands)
    dataset.scans.remove("case_0")
    with pytest.raises(UserError, match=r"--grow: .* was trained otherwise than now asked for: .*that are gone: 1"):
        train("--grow")
    assert commands == []


def test_folders_put_aside_are_numbered_on_whatever_was_removed(grown, commands):  # noqa: F811
    _, final = grown
    for name in ("fold_0_before_growth_2", "fold_0_before_growth_old"):
        final.parent.with_name(name).mkdir()
    assert ends_after_step1(commands)[-1].endswith("fold_0_before_growth_3/checkpoint_final.pth")


def test_a_step_2_goes_on_where_the_scans_cannot_be_looked_at(grown, commands):  # noqa: F811
    dataset, final = grown
    dataset.trainer(nnUNetTrainerLWISeg).run_training()
    final.write_bytes(b"damaged")
    train()
    assert commands == [[*STEP, "nnUNetTrainerLWISeg", *PLANS, "--val"]]


def test_an_unfinished_step_1_goes_on_with_its_scans_where_it_is_not_to_grow(grown, commands):  # noqa: F811
    _, final = grown
    final.rename(final.with_name("checkpoint_latest.pth"))
    with pytest.raises(UserError, match="There is no checkpoint"):
        train()
    assert commands == [[*STEP1, "--c"]]
