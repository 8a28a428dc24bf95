from __future__ import annotations

import pytest

from benchmarks import transformation
from benchmarks.transformation import BASELINE, CANDIDATE, LARGEST, compare_shapes, exponent, growth, values
from tests.benchmarks.conftest import CPU


def test_what_does_not_fit_is_left_out_by_name(monkeypatch):
    monkeypatch.setattr(transformation, "REPEATS", 1)
    monkeypatch.setattr(transformation, "VALUES_A_ROUND", 1)
    findings = compare_shapes([(1, 32), (2, 64)], CPU, largest=3 * 4 * 2 * 32**3)
    assert [comparison.name for comparison in findings.comparisons] == ["transformation of 2 x 1 x 32^3"]
    assert findings.left_out == ["transformation of 2 x 2 x 64^3: the batch and its results take 0.013 GB"]
    assert findings.comparisons[0].goal == pytest.approx(1.95)


def test_the_largest_shape_of_all_is_measured():
    assert 3 * 4 * values(8, 192) <= LARGEST


@pytest.mark.parametrize("power", [1, 2])
def test_the_exponent_is_of_voxels_and_of_large_patches_only(power):
    times = {edge: 5e-6 * edge ** (3 * power) for edge in (64, 96, 128)} | {32: 1000.0}
    assert exponent(times) == f"{power:.2f}"


def test_growth_per_million_voxels():
    medians = {(2, edge): {CANDIDATE: 3e-6 * values(2, edge), BASELINE: 1.0} for edge in (32, 64, 96)}
    table = growth(medians)
    assert table.header == ("ms per million voxels", "channels", "32^3", "64^3", "96^3", "exponent")
    assert table.rows[0] == (CANDIDATE, "2", "3", "3", "3", "1.00")
    assert table.rows[1][-1] == "0.00"


def test_one_shape_has_no_exponent():
    assert growth({(1, 64): {CANDIDATE: 1.0, BASELINE: 1.0}}).rows[0][-1] == ""
