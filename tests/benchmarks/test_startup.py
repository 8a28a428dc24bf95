from __future__ import annotations

from benchmarks import startup
from tests.benchmarks.conftest import CPU


def test_each_command_ends_and_is_timed(monkeypatch):
    monkeypatch.setattr(startup, "REPEATS", 1)
    (table,) = startup.measure_startup(CPU).tables
    assert [row[0] for row in table.rows] == list(startup.COMMANDS)
    assert all(float(row[1].split()[0]) > 1 for row in table.rows)
