"""How trainings stand, from names and small files."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from subprocess import run

import pytest

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.handover.standing import FILE
from nnunetv2_lwi.interruption import AskedToEnd
from nnunetv2_lwi.jobs.status import BEGUN, CUT, FINISHED, NONE, RUNNING, standings
from nnunetv2_lwi.one_writer import OWNER
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import NAME


def look(dataset, fold="0", **options):
    found = [one for one in standings(dataset.results, dataset.preprocessed, **options) if one.fold == fold]
    return {one.step: one for one in found}


def test_nothing_begun_is_nothing_told_unless_it_is_asked_for(dataset, capsys):
    assert list(standings(dataset.results, dataset.preprocessed)) == []
    main(["status"])
    assert capsys.readouterr().out == "Nothing was begun.\n"
    assert look(dataset, "0", datasets=[NAME]) == {}, "without a split nnU-Net has yet to make its folds"


def test_a_step_1_from_begun_to_finished(dataset, monkeypatch):
    trainer = dataset.trainer(nnUNetTrainerLWIInit, init={"epochs": 4})
    seen = []
    on_epoch_start = trainer.on_epoch_start

    def look_and_go_on():
        seen.append(look(dataset)[1])
        if trainer.current_epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        on_epoch_start()

    monkeypatch.setattr(trainer, "on_epoch_start", look_and_go_on)
    with pytest.raises(AskedToEnd):
        trainer.run_training()
    assert [(one.state, one.epoch, one.epochs) for one in seen] == [(RUNNING, n, 4) for n in range(3)]
    assert seen[0].ends is None and seen[2].ends is not None and f"process {os.getpid()} on" in seen[2].by
    cut = look(dataset)
    assert (cut[1].state, cut[1].epoch, cut[1].by) == (CUT, 2, None) and cut[2].state == NONE
    assert {fold for fold in "01234" if look(dataset, fold)} == set("01234"), "the split has five"
    dataset.write_plans(init={"epochs": 4})
    assert look(dataset)[1].stale is None
    dataset.write_plans(init={"epochs": 5})
    assert look(dataset)[1].stale == "lwi.init.epochs: 4, here 5"


def test_a_step_2_has_its_dice(dataset, capsys):
    settings = {"start": "random", "epochs": 1}
    dataset.write_plans(seg=settings)
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=settings)
    trainer.run_training()
    assert look(dataset)[2].state == FINISHED and look(dataset)[2].dice is None
    validation = dataset.output_folder("nnUNetTrainerLWISeg") / "validation"
    validation.mkdir()
    summary = {"foreground_mean": {"Dice": 0.625, "IoU": 0.5}, "mean": {"1": {"Dice": 0.1}}, "metric_per_case": [{}] * 9999}
    (validation / "summary.json").write_text(json.dumps(summary, indent=4, sort_keys=True))
    assert look(dataset)[2].dice == 0.625 and look(dataset)[2].stale is None
    capsys.readouterr()
    main(["status", "-d", "999", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [one["dice"] for one in found if one["state"] == FINISHED] == [0.625]
    main(["status"])
    assert "| 0 | 2 | finished | 1 of 1 |  | 0.6250 |" in capsys.readouterr().out
    dataset.write_plans(seg={**settings, "lr": 0.5})
    assert look(dataset)[2].stale is not None and "lwi.seg.lr" in look(dataset)[2].stale


def folder_with(dataset, owner=None, noted=None, checkpoint=None):
    folder = dataset.output_folder("nnUNetTrainerLWIInit", "all")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((OWNER, owner), (FILE, noted and json.dumps(noted)), (checkpoint, "")):
        if name is not None and content is not None:
            (folder / name).write_text(content)
    return folder


def test_a_writer_that_was_killed_is_not_taken_for_one_that_writes(dataset):
    gone = run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True).stdout
    owner = f"process {gone.strip()} on {socket.gethostname()}, since 2026-01-01 00:00"
    folder_with(dataset, owner, checkpoint="checkpoint_best.pth")
    assert (look(dataset, "all")[1].state, look(dataset, "all")[1].by) == (CUT, owner)


def test_on_another_machine_silence_counts(dataset):
    owner = "process 1 on elsewhere, since 2026-01-01 00:00"
    folder = folder_with(dataset, owner, {"epoch": 1, "epochs": 9, "seconds_an_epoch": 100, "digest": {}, "start": {}})
    assert look(dataset, "all")[1].state == RUNNING
    long_ago = time.time() - 3600
    for name in (OWNER, FILE):
        os.utime(folder / name, (long_ago, long_ago))
    assert look(dataset, "all")[1].state == BEGUN


def test_folders_of_earlier_versions_and_damaged_ones_are_told_as_far_as_they_tell(dataset):
    folder = folder_with(dataset, checkpoint="checkpoint_final.pth")
    assert (look(dataset, "all")[1].state, look(dataset, "all")[1].epoch) == (FINISHED, None)
    (folder / FILE).write_text("{")
    assert look(dataset, "all")[1].state == FINISHED


def test_nothing_is_written_or_locked(dataset):
    folder = folder_with(dataset, "process 1 on elsewhere, since 2026-01-01 00:00", checkpoint="checkpoint_best.pth")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    list(standings(dataset.results, dataset.preprocessed, [NAME]))
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_thousand_folders_take_less_than_two_seconds_and_torch_is_not_needed(dataset, tmp_path):
    noted = {
        "epoch": 3,
        "epochs": 9,
        "seconds_an_epoch": 1.5,
        "digest": {"lwi": {}},
        "start": {"kind": "random"},
        "step2": {},
    }
    plans = json.dumps(dataset.plans)
    for number in range(100):
        name = f"Dataset{number:03}_Many"
        (dataset.preprocessed / name).mkdir()
        (dataset.preprocessed / name / "nnUNetPlans.json").write_text(plans)
        for fold in range(5):
            for trainer in ("nnUNetTrainerLWIInit", "nnUNetTrainerLWISeg"):
                folder = dataset.results / name / f"{trainer}__nnUNetPlans__3d_fullres" / f"fold_{fold}"
                folder.mkdir(parents=True)
                (folder / FILE).write_text(json.dumps(noted))
                (folder / "checkpoint_final.pth").touch()
    started = time.monotonic()
    assert len(list(standings(dataset.results, dataset.preprocessed))) == 1000
    assert time.monotonic() - started < 2
    program = "import sys; from nnunetv2_lwi.jobs import status; assert 'torch' not in sys.modules"
    run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("noted", [[1], {"epoch": 1, "epochs": 2}, {"epoch": 1, "epochs": 2, "digest": "x"}])
def test_a_progress_file_of_another_kind_spoils_no_table(dataset, capsys, noted):
    folder_with(dataset, noted=noted, checkpoint="checkpoint_latest.pth")
    assert look(dataset, "all")[1].state == CUT
    main(["status"])
    assert "| all | 1 | cut |" in capsys.readouterr().out


def test_a_dice_that_is_none_is_null_in_json(dataset, capsys):
    folder = dataset.output_folder("nnUNetTrainerLWISeg")
    (folder / "validation").mkdir(parents=True)
    (folder / "checkpoint_final.pth").touch()
    (folder / "validation" / "summary.json").write_text('{"foreground_mean": {"Dice": NaN}}')
    main(["status", "--json"])
    assert "NaN" not in capsys.readouterr().out
