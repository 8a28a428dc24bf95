"""A user without rights, in folders that are read-only, full or another user's: one line, or a training that ends well.

Tests run as root in most containers, to whom rights mean nothing; so the commands are run without root's right to pass
over those of others (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_lwi.nnunet.commands import nnunet_environment, stock_command
from tests.tiny_dataset import NAME, TinyDataset

SOMEBODY_ELSE = 65534
WITHOUT_PRIVILEGES = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
    assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="made for root, who passes over rights"),
]


@pytest.fixture
def dataset(dataset: TinyDataset) -> Iterator[TinyDataset]:
    """One epoch of step 2 from a random start."""
    dataset.plans["configurations"]["3d_fullres"]["lwi"]["seg"] |= {"start": "random", "epochs": 1}
    save_json(dataset.plans, str(dataset.preprocessed / NAME / "nnUNetPlans.json"), sort_keys=False)
    yield dataset
    subprocess.run(["umount", str(dataset.results)], check=False, capture_output=True)


def train(dataset: TinyDataset) -> tuple[int, str]:
    """Exit code and what was printed of step 2."""
    command = stock_command("nnUNetv2_train", NAME, "3d_fullres", "0", "-tr", "nnUNetTrainerLWISeg", "-device", "cpu")
    environment = nnunet_environment(nnUNet_raw=dataset.preprocessed, nnUNet_n_proc_DA="0")
    command = [sys.executable, "-I", "-S", "-c", WITHOUT_PRIVILEGES, *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def refuse(path: Path, rights: int) -> None:
    """Somebody else's, with these rights for others."""
    os.chown(path, SOMEBODY_ELSE, SOMEBODY_ELSE)
    path.chmod(rights)


def test_results_that_are_read_only(dataset):
    refuse(dataset.results, 0o755)
    require_one_line(train(dataset), "Nothing can be written to", "Permission denied")


def test_a_data_set_s_results_that_are_another_user_s(dataset):
    (dataset.results / NAME).mkdir()
    refuse(dataset.results / NAME, 0o755)
    require_one_line(train(dataset), "Nothing can be written to", NAME)


@pytest.mark.parametrize("what", ["nnUNetPlans_3d_fullres", "splits_final.json", "dataset_fingerprint.json"])
def test_preprocessed_data_that_may_not_be_read(dataset, what):
    folder = dataset.preprocessed / NAME
    if what == "splits_final.json":
        save_json([{"train": ["case_0"], "val": ["case_1"]}], str(folder / what))
    refuse(folder / what, 0o700)
    require_one_line(train(dataset), "cannot be used: Permission denied", what)


def test_preprocessed_data_that_are_read_only_are_enough(dataset):
    folder = dataset.preprocessed / NAME
    save_json([{"train": [f"case_{n}" for n in range(4)], "val": ["case_4"]}], str(folder / "splits_final.json"))
    for path in (*dataset.preprocessed.rglob("*"), dataset.preprocessed):
        refuse(path, 0o555 if path.is_dir() else 0o444)
    text = train(dataset)[1]
    final = dataset.output_folder("nnUNetTrainerLWISeg") / "checkpoint_final.pth"
    assert final.is_file(), text[-2000:]
    assert "Traceback" not in text.split("predicting")[0], "nnU-Net validates against label files, which are empty here"
    assert not list(folder.glob("*_contents_lwi.json"))


def test_a_disk_without_room(dataset):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k,mode=777", "tmpfs", str(dataset.results)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("nothing may be mounted here")
    require_one_line(train(dataset), "make room")


def require_one_line(ended: tuple[int, str], *words: str) -> None:
    """The product's, without a traceback."""
    code, text = ended
    lines = [line for line in text.splitlines() if line.startswith("nnunetv2_lwi: ")]
    assert code == 1 and len(lines) == 1 and "Traceback" not in text, text[-2000:]
    assert all(word in lines[0] for word in words), lines[0]
