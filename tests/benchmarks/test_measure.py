from __future__ import annotations

import json

from benchmarks.measure import Comparison, Findings, Spread, Table, take_turns, time_rounds
from benchmarks.report import compared, write_report


def test_everything_takes_its_turn_and_the_warm_up_does_not_count():
    calls = []

    def call(name):
        calls.append(name)
        return len(calls)

    rounds = take_turns({name: lambda name=name: call(name) for name in "abc"}, 2)
    assert "".join(calls) == "abcabcabc"
    assert rounds == {"a": [4, 7], "b": [5, 8], "c": [6, 9]}


def test_a_machine_that_drifts_leaves_the_ratio_as_it_is():
    rounds = {"ours": [2.0, 20.0, 6.0], "theirs": [1.0, 10.0, 3.0]}
    comparison = Comparison.of("step", "ours", "theirs", "ms", rounds)
    assert comparison.ratio == Spread(2, 2, 2)
    assert comparison.candidate_value == Spread(2, 6, 20)


def test_times_are_of_one_call():
    numbers = iter(range(100))
    rounds = time_rounds({"count": lambda: next(numbers)}, repeats=3, calls=5)
    assert len(rounds["count"]) == 3
    assert next(numbers) == 20


def test_goals_say_whether_more_is_better():
    rounds = {"a": [1.0], "b": [2.0]}
    costs = Comparison.of("cost", "a", "b", "ms", rounds, goal=1.95)
    rates = Comparison.of("rate", "a", "b", "iterations/s", rounds, goal=2.0, more_is_better=True)
    table = compared([costs, rates]).splitlines()
    assert table[2].endswith("| 0.5 (0.5 to 0.5) | at most 1.95 |")
    assert table[3].endswith("| 0.5 (0.5 to 0.5) | at least 2 |")


def test_the_report_holds_everything_twice(tmp_path):
    comparison = Comparison.of("step", "a", "b", "ms", {"a": [1.0], "b": [2.0]})
    findings = Findings([comparison])
    findings.add(Findings(tables=[Table("Parts", ("part", "share"), [("loss", "3 %")])], left_out=["the moon: too far"]))
    text = write_report(tmp_path, {"cores": 2}, findings)
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert content["comparisons"][0]["ratio"] == {"minimum": 0.5, "median": 0.5, "maximum": 0.5}
    assert content["tables"][0]["rows"] == [["loss", "3 %"]]
    assert content["left_out"] == ["the moon: too far"]
    assert text == (tmp_path / "benchmark.md").read_text()
    for line in ("cores: 2", "| loss | 3 % |", "Left out: the moon: too far"):
        assert line in text.splitlines()
