"""Checks run one by one; none that fails, dies or takes too long stops the next, and all is written as it comes."""

from __future__ import annotations

import json
import os

import pytest

from benchmarks.gpu import command
from benchmarks.gpu.checks import CHECKS
from benchmarks.gpu.journal import FAILED, LEFT_OUT, OK, Journal, described
from benchmarks.gpu.runner import Check, Place, run_all
from benchmarks.gpu.speed import idle_share
from nnunetv2_lwi.errors import UserError
from tests.benchmarks.gpu.checks_for_tests import dies, fails_in_the_middle, fine, refuses, takes_too_long


@pytest.fixture
def place(tmp_path):
    return Place("cpu", tmp_path)


def run(place, *checks, seconds=300.0):
    journal = Journal(place.output / "gpu.jsonl")
    failures = run_all([Check(f.__name__, f, 1, on_cpu=True) for f in checks], place, journal, seconds)
    return failures, journal.entries()


def test_what_fails_or_dies_does_not_stop_the_next(place, capsys):
    failures, entries = run(place, fine, fails_in_the_middle, refuses, dies, fine)
    assert failures == 3
    assert [(entry["check"], entry["outcome"]) for entry in entries] == [
        ("fine", OK), ("fine", OK), ("fails_in_the_middle", OK), ("fails_in_the_middle", FAILED), ("refuses", FAILED),
        ("dies", FAILED), ("fine", OK), ("fine", OK),
    ]  # fmt: skip
    reasons = [entry["reason"] for entry in entries if entry["outcome"] == FAILED]
    assert reasons == [
        "ValueError: no kernel image is available",
        "UserError: nnunetv2_lwi: The plan is none.",
        "its process died",
    ]
    assert entries[0]["process"] not in (entries[-2]["process"], os.getpid()), "a process that was spoiled goes on"
    assert "chatter" in (place.output / "nnunet.log").read_text() and "chatter" not in capsys.readouterr().out


def test_what_takes_too_long_is_ended_and_what_has_no_time_is_left_out(place):
    failures, entries = run(place, takes_too_long, fine, seconds=6.0)
    assert failures == 1
    assert entries[0]["outcome"] == FAILED and "not done after " in entries[0]["reason"]
    assert entries[1]["outcome"] == LEFT_OUT and "it takes about 1 s, and" in entries[1]["reason"]


def test_without_a_gpu_it_says_so_runs_what_it_can_and_ends_well(tmp_path, monkeypatch, capsys):
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_compile"):
        monkeypatch.setenv(name, "f")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    checks = (Check("fine", fine, 1, on_cpu=True), Check("needs one", fine, 1))
    monkeypatch.setattr(command, "CHECKS", checks)
    assert command.main(["--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "torch finds no GPU here" in said and "0 of 2 checks failed" in said
    entries = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    assert entries[-1] | {"time": ""} == {"time": "", "check": "needs one", "outcome": LEFT_OUT, "reason": "it needs a GPU"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "moon"], r"--only moon: there is no such check\. Checks: environment, "),
        (["--dataset", "/none"], "--dataset /none"),
    ],
)
def test_mistakes_are_one_line(words, message):
    with pytest.raises(UserError, match=message):
        command.parse(words)


def test_the_whole_takes_no_longer_than_it_may():
    """What comes first fits into the time; what needs a GPU is most of it."""
    assert sum(check.seconds for check in CHECKS[:8]) <= command.SECONDS
    assert [check.name for check in CHECKS if check.on_cpu] == [
        "environment", "augmentation", "steps", "checkpoint", "other_device",
    ]  # fmt: skip


def test_idle_is_what_no_kernel_covers():
    assert idle_share([(0, 10), (5, 10), (30, 40), (10, 20)]) == 0.25
    assert idle_share([(0, 10), (2, 3), (10, 20)]) == 0


def test_figures_are_read_easily():
    assert described({"ms": 1.23456, "plan": "a", "n": 3}) == "ms 1.23, plan a, n 3"
