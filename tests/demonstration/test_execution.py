"""One stage of the demo: what it tells, what it sees, and how it fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nnunetv2_lwi.demonstration.execution import LINES_OF_A_FAILURE, readable, run_stage
from nnunetv2_lwi.demonstration.place import SMALL_MACHINE, Demo
from nnunetv2_lwi.demonstration.stages import Stage
from nnunetv2_lwi.errors import UserError


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def made(output: Path, monkeypatch: pytest.MonkeyPatch) -> Demo:
    """A demo's folder on the way, and nothing of the developer's shell."""
    for name in SMALL_MACHINE:
        monkeypatch.delenv(name, raising=False)
    (output / "logs").mkdir(parents=True)
    return Demo(output, "Dataset007_Mine", "cpu")


def test_a_stage_tells_its_command_its_progress_and_its_time(made, capsys):
    script = "print('2026-01-01 00:00:00.000001: Pseudo dice [np.float32(0.5)]'); print('chatter')"
    run_stage(made, 3, Stage("step2", "It learns.", [sys.executable, "-c", script]))
    out = capsys.readouterr().out
    log = made.folder / "logs" / "3_step2.log"
    assert out.startswith("3. It learns.\n") and f"{Path(sys.executable).name} -c 'print" in out
    assert "\n   Pseudo dice [(0.5)]\n" in out and "\nchatter" not in out
    assert f"done in 0 s, output in {log}" in out
    assert "chatter\n" in log.read_text()


def test_a_stage_sees_the_demo_s_folders_and_the_user_s_wishes(made, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", "/mine")
    monkeypatch.setenv("nnUNet_def_n_proc", "7")
    names = ["nnUNet_raw", "nnUNet_def_n_proc", "nnUNet_n_proc_DA", "nnUNet_extTrainer"]
    run_stage(made, 1, Stage("a", "b", [sys.executable, "-c", f"import os; print(*[os.environ[n] for n in {names}])"]))
    raw, processes, loaders, trainers = (made.folder / "logs" / "1_a.log").read_text().split()
    assert (raw, processes, loaders) == (str(made.folder / "nnUNet_raw"), "7", "1")
    assert (Path(trainers.split(":")[0]) / "nnUNetTrainerLWI.py").is_file()


def test_a_stage_that_fails_shows_the_end_of_its_output_and_names_the_log(made, capsys):
    script = "import sys; print(*range(100), sep='\\n'); sys.exit(3)"
    with pytest.raises(UserError, match=r"ended with exit code 3; its output is in .*logs/2_step1.log"):
        run_stage(made, 2, Stage("step1", "It learns.", [sys.executable, "-c", script]))
    shown = capsys.readouterr().out.splitlines()
    assert shown[-LINES_OF_A_FAILURE:] == [str(number) for number in range(100 - LINES_OF_A_FAILURE, 100)]


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (75, "1 min 15 s"), (12, "12 s")])
def test_durations_are_readable(seconds, words):
    assert readable(seconds) == words
