"""``nnUNetv2_lwi unlabelled`` killed at any moment: nothing is lost, nothing half made is used, no process lives on."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from hashlib import sha256
from pathlib import Path

import pytest
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.unlabelled.folder import UnlabelledFolder
from tests.raw_scans import RawDataset, make_raw_dataset
from tests.tiny_dataset import TinyDataset, write_tiny_dataset

SCANS = range(30)
LONGEST_START = 8.0
"""Seconds until the pool's processes work, on a busy machine."""


def prepared(root: Path) -> tuple[RawDataset, dict[str, str]]:
    """A data set with raw scans, and the environment that points at it."""
    dataset: TinyDataset = write_tiny_dataset(root)
    raw = make_raw_dataset(dataset, root / "raw")
    raw.add(*SCANS)
    folders = {"nnUNet_raw": root / "raw", "nnUNet_preprocessed": dataset.preprocessed, "nnUNet_results": dataset.results}
    return raw, {**os.environ, **{name: str(path) for name, path in folders.items()}}


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nnunetv2_lwi.cli.main", "unlabelled", "-d", "999", "-np", "2"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finished(environment: dict[str, str]) -> str:
    job = start(environment)
    out, _ = job.communicate(timeout=300)
    assert job.returncode == 0, out
    return out


def run_here(environment: dict[str, str]) -> str:
    """The same in this process, with one process beside it."""
    with pytest.MonkeyPatch.context() as monkeypatch, redirect_stdout(io.StringIO()) as said:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            monkeypatch.setenv(name, environment[name])
        main(["unlabelled", "-d", "999", "-np", "1"])
    return said.getvalue()


def made(folder: UnlabelledFolder) -> int:
    return len(folder.read().entries) if folder.journal_file.is_file() else 0


def living(environment: dict[str, str]) -> list[int]:
    """Processes that were started for this data set."""
    mark, found = f"nnUNet_raw={environment['nnUNet_raw']}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def wait_for(holds, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not holds():
        time.sleep(0.05)
    return bool(holds())


def voxels(folder: UnlabelledFolder) -> dict[str, str]:
    """A digest of each scan's image and segmentation: the bytes of equal files differ."""
    dataset = nnUNetDatasetBlosc2(str(folder.path))
    digests = {}
    for name in folder.files():
        image, segmentation = dataset.load_case(name)[:2]
        digests[name] = sha256(image[:].tobytes() + segmentation[:].tobytes()).hexdigest()
    return digests


def kill_and_finish(tmp_path: Path, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    whole, whole_environment = prepared(tmp_path / "whole")
    run_here(whole_environment)
    expected = voxels(whole.dataset.scans)
    raw, environment = prepared(tmp_path / "killed")
    folder = raw.dataset.scans
    for _ in range(kills):
        job, before = start(environment), made(folder)
        if draw.random() < 0.7:
            wait_for(lambda: made(folder) > before or job.poll() is not None)  # noqa: B023
        else:
            time.sleep(draw.uniform(0, LONGEST_START))
        time.sleep(draw.uniform(0, 0.05))
        if job.poll() is None:
            os.kill(job.pid, signal.SIGKILL)
        job.communicate(timeout=60)
        assert wait_for(lambda: not living(environment)), "workers live on"
        found = voxels(folder) if folder.files() else {}
        assert all(found[name] == expected[name] for name in folder.scans(folder.read()))
    out = finished(environment)
    assert f"{len(SCANS)} scans without labels for step 1" in out
    assert voxels(folder) == expected
    assert not [path for path in raw.dataset.folder.iterdir() if path.name.endswith(".partial")]
    assert "(0 preprocessed now)" in run_here(environment)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers may outlive a command that is killed")
def test_a_command_that_is_killed_goes_on_where_it_was(tmp_path):
    kill_and_finish(tmp_path, kills=1, seed=0)


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers may outlive a command that is killed")
def test_twenty_kills_lose_nothing(tmp_path):
    kill_and_finish(tmp_path, kills=20, seed=1)
