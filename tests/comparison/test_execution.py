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


def test_the_gpu_is_used_in_a_process_of_its_own_and_left_free_for_the_next_training(make_design, make_places, monkeypatch):
    """What scores, and probes, would keep some of the GPU's memory from every training that follows."""
    (place,) = make_places(make_design("random", counts=(2,), seeds=1).runs())
    calls = []
    monkeypatch.setattr(execution, "train", lambda *_: None)
    monkeypatch.setattr(execution, "finish", lambda place, device: calls.append(("here", device)))
    monkeypatch.setattr(execution, "in_a_process_of_its_own", lambda function, *given: calls.append((function, *given)))
    execution.execute(place, "cuda")
    execution.execute(place, "cpu")
    assert calls == [(execution.finish, place, "cuda"), ("here", "cpu")]


def test_short_trainings_are_not_compiled_unless_that_is_asked_for(make_design, make_places, monkeypatch):
    (place,) = make_places(make_design("random", counts=(2,), seeds=1).runs())
    environments = []
    monkeypatch.setattr(execution, "run_command", lambda command, environment, **_: environments.append(environment) or 1)
    for given, expected in ((None, "f"), ("t", "t")):
        monkeypatch.delenv("nnUNet_compile", raising=False)
        if given is not None:
            monkeypatch.setenv("nnUNet_compile", given)
        with pytest.raises(UserError, match="nnUNetv2_train ended with exit code 1"):
            execution.train(place, "cpu")
        assert environments.pop()["nnUNet_compile"] == expected
        assert f"nnUNet_compile={expected} nnUNetv2_train" in place.log.read_text()
