"""Pictures are written for every kind of step 1."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from nnunetv2_lwi.training.monitoring import pictures
from nnunetv2_lwi.training.monitoring.pictures import INPUT, SHUFFLED, PretextExample, draw_pretext_example

pytestmark = pytest.mark.draws


def make(slabs: int, reconstructs: bool, orders: bool) -> PretextExample:
    rng = np.random.default_rng(0)
    volumes = [rng.standard_normal((slabs * 2, 6, 7)).astype(np.float32) for _ in range(4)]
    probabilities = rng.random((slabs, slabs)).astype(np.float32) if orders else None
    order = rng.permutation(slabs)
    return PretextExample(
        *volumes[:3], volumes[3] if reconstructs else None, order, probabilities, 2 if orders else None, (3.0, 1.0, 1.0)
    )


@pytest.mark.parametrize(
    ("slabs", "reconstructs", "orders"), [(4, True, True), (20, True, True), (1, True, False), (4, False, True)]
)
def test_a_picture_is_written(tmp_path, slabs, reconstructs, orders):
    path = tmp_path / "pictures" / "case.png"
    draw_pretext_example(make(slabs, reconstructs, orders), path, "case")
    assert imread(path).std() > 0.05


@pytest.mark.parametrize(("slabs", "titles"), [(4, ["original", SHUFFLED]), (1, ["original (target)"])])
def test_where_nothing_is_shuffled_the_original_is_the_target(slabs, titles):
    columns = [name for name, _ in pictures._columns(make(slabs, True, slabs > 1))]
    assert columns == [*titles, INPUT, "reconstruction", "absolute error"]


def test_long_words_leave_the_images_their_place(tmp_path, monkeypatch):
    """Where they took it, matplotlib's layout collapsed now and then, and warned."""
    for name, words in (("short", "a"), ("long", "a" * 200)):
        monkeypatch.setattr(pictures, "_describe", lambda _, words=words: words)
        draw_pretext_example(make(4, True, True), tmp_path / f"{name}.png", "case")
    short, long = (imread(tmp_path / f"{name}.png")[:, :600] for name in ("short", "long"))
    assert (short == long).mean() > 0.99


def test_the_predicted_order_is_the_likeliest():
    example = make(3, True, True)
    assert (example.predicted_order == example.order_probabilities.argmax(1)).all()
