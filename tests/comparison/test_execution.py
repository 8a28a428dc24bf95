"""What is looked at before a training starts, hours after the comparison was called."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.comparison import execution
from nnunetv2_lwi.comparison.origin import read_origins
from nnunetv2_lwi.errors import UserError


def test_weights_that_have_changed_since_are_refused(make_design, make_places, tmp_path, monkeypatch):
    weights = tmp_path / "checkpoint_latest.pth"
    weights.write_bytes(b"epoch 50")
    (place,) = make_places(make_design(f"pretrained:{weights}", counts=(2,), seeds=1).runs())
    weights.write_bytes(b"epoch 100")
    monkeypatch.setattr(execution, "run_command", lambda *_, **__: pytest.fail("the training started"))
    with pytest.raises(UserError, match=r"checkpoint_latest\.pth is another file now than when the comparison was called"):
        execution.train(place, "cpu")
    assert read_origins(place) == []
