"""nnU-Net's commands as this package starts them, and what is left to do of a training."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.commands import in_a_process_of_its_own, run_command, what_is_left

CHILD = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
PARENT = f"""
import os, sys
from nnunetv2_lwi.nnunet.commands import run_command
run_command([sys.executable, "-c", {CHILD!r}], os.environ)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a command outlives a parent that is killed")
@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_command_ends_with_who_started_it(how):
    """Else the same command, called again, is a second writer to its folder."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        getattr(parent, how)()
    end = time.monotonic() + 10
    while time.monotonic() < end and is_alive(child):
        time.sleep(0.05)
    assert not is_alive(child)


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    return False


def test_a_process_of_its_own_gives_back_what_it_found_and_what_went_wrong():
    assert in_a_process_of_its_own(os.getpid) != os.getpid()
    assert in_a_process_of_its_own(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        in_a_process_of_its_own(divmod, 7, 0)
    with pytest.raises(UserError) as error:
        in_a_process_of_its_own(refuse, "x")
    assert error.value.message.count("nnunetv2_lwi: ") == 1 and "x" in error.value.reason


def refuse(text: str) -> object:
    raise UserError(f"{text} is no fold.")


def test_the_exit_code_is_the_command_s():
    assert run_command([sys.executable, "-c", "raise SystemExit(3)"], os.environ) == 3


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_nothing_is_asked_of_python_that_windows_lacks(monkeypatch, platform):
    asked = {}

    class Recorded(contextlib.nullcontext):
        def __init__(self, command, **how):
            super().__init__(self)
            asked.update(how, command=command)

        def wait(self):
            return 0

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(subprocess, "Popen", Recorded)
    run_command(["a"], {})
    assert "preexec_fn" not in asked and (asked["command"] == ["a"]) == (platform == "win32")


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ([], ["start"]),
        (["checkpoint_best.pth"], ["--c"]),
        (["checkpoint_latest.pth"], ["--c"]),
        (["checkpoint_final.pth"], ["--val"]),
        (["checkpoint_final.pth", "validation/summary.json"], None),
    ],
)
def test_what_is_left_is_told_by_the_files(tmp_path, files, left):
    (tmp_path / "validation").mkdir()
    for file in files:
        (tmp_path / file).write_text("{}")
    assert what_is_left(tmp_path, ["start"]) == left


def test_probabilities_that_are_asked_for_are_to_lie_whole_beside_every_prediction(tmp_path):
    """A kill leaves half a file; a prediction that was deleted has none to lie beside."""
    validation = tmp_path / "validation"
    validation.mkdir()
    for file in (tmp_path / "checkpoint_final.pth", validation / "summary.json"):
        file.write_text("{}")

    def left():
        return what_is_left(tmp_path, ["start"], ".nii.gz")

    assert left() == ["--val"]
    for case in "ab":
        (validation / f"{case}.nii.gz").touch()
        np.savez_compressed(validation / f"{case}.npz", probabilities=np.zeros(9))
    assert left() == ["--val"]
    for case in "ab":
        (validation / f"{case}.pkl").touch()
    assert left() is None
    os.truncate(validation / "b.npz", 100)
    assert left() == ["--val"]
