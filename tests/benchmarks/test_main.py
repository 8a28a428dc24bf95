from __future__ import annotations

import json
import os
import sys

import pytest
import torch

import benchmarks.__main__ as command
from benchmarks.measure import Findings
from nnunetv2_lwi.errors import UserError
from tests.benchmarks.conftest import CPU

ON_A_GPU = ["loops2", "loops4", "loops8", "precision"]


@pytest.fixture
def own_folders(monkeypatch):
    """main points nnU-Net at folders of its own and takes every core; afterwards all is as before."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, "")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_an_unknown_section_is_one_line():
    with pytest.raises(UserError, match=r"--only step,moon: there is no such section\. Sections: startup, transformation, "):
        command.parse(["--only", "step,iterations,moon"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match="-device cuda: torch finds no GPU here"):
        command.parse(["-device", "cuda"])


def test_sections_run_in_their_own_order():
    assert command.parse(["--only", "profile,memory"]).sections == ["memory", "profile"]
    assert command.parse([]).sections == list(command.SECTIONS)


@pytest.mark.parametrize("name", ON_A_GPU)
def test_what_needs_a_gpu_says_so_and_prepares_nothing(name):
    findings = command.SECTIONS[name](CPU)
    assert findings.comparisons == [] and len(findings.left_out) == 1 and "GPU" in findings.left_out[0]


def test_what_was_asked_for_is_measured_and_the_rest_left_out_by_name(tmp_path, monkeypatch, own_folders, capsys):
    def talkative(device):
        sys.stdout.write("nnU-Net's chatter")
        return Findings(left_out=[f"measured on {device}, in {os.environ['nnUNet_raw']}"])

    monkeypatch.setattr(command, "SECTIONS", {"one": talkative, "two": None, "three": None})
    command.main(["-device", "cpu", "--only", "one", "--output", str(tmp_path)])
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert content["left_out"] == ["two, three: not in --only", f"measured on cpu, in {tmp_path / 'nnUNet_raw'}"]
    assert {"processor", "cores", "versions", "commit", "device"} <= set(content["machine"])
    assert "chatter" not in capsys.readouterr().out
    assert "chatter" in (tmp_path / "nnunet.log").read_text()
