"""What is looked at before a training starts, hours after the comparison was called."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

import pytest

from nnunetv2_lwi.comparison import execution
from nnunetv2_lwi.comparison.origin import read_origins
from nnunetv2_lwi.comparison.results import is_done, read_result
from nnunetv2_lwi.errors import UserError
from tests.comparison.test_source import save_labels


def test_weights_that_have_changed_since_are_refused(make_design, make_places, tmp_path, monkeypatch):
    weights = tmp_path / "checkpoint_latest.pth"
    weights.write_bytes(b"epoch 50")
    (place,) = make_places(make_design(f"pretrained:{weights}", counts=(2,), seeds=1).runs())
    weights.write_bytes(b"epoch 100")
    monkeypatch.setattr(execution, "run_command", lambda *_, **__: pytest.fail("the training started"))
    with pytest.raises(UserError, match=r"checkpoint_latest\.pth is another file now than when the comparison was called"):
        execution.train(place, "cpu")
    assert read_origins(place) == []


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_data_that_change_are_not_filed_under_what_they_were(make_design, make_places, source, monkeypatch, when):
    """Before the training, which then does not start, or while it runs."""
    (place,) = make_places(make_design("random", counts=(2,), seeds=1).runs())
    started = []

    def change():
        save_labels(source, place.training.configuration, lambda labels: labels * 0, place.training.train_cases[0])

    if when == "before":
        change()
    monkeypatch.setattr(execution, "run_command", lambda *_, **__: started.append(change()) or 0)
    with pytest.raises(UserError, match="have changed since the comparison was called"):
        execution.execute(place, "cpu")
    assert bool(started) == (when == "meanwhile") and not place.result.exists()


@pytest.fixture
def finished_step1(make_design, make_places, monkeypatch):
    place, _ = make_places(make_design("lwi", counts=(2,), seeds=1).runs())
    place.folder.mkdir(parents=True)
    monkeypatch.setattr(execution, "describe_training", lambda _: {"iterations": 1, "seconds": 1.0})
    return place


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), UserError("no labelled cases")])
def test_a_step_1_that_cannot_be_probed_is_done_and_its_log_says_why(finished_step1, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(execution, "probe", fail)
    execution.finish(finished_step1, "cpu")
    assert is_done(finished_step1) and read_result(finished_step1)["probe"] == {}
    log = finished_step1.log.read_text()
    assert "Not probed: " in log and str(error) in log and f"remove {finished_step1.result}" in log


def test_a_step_1_whose_probe_the_system_kills_is_done_too(finished_step1, monkeypatch):
    """In a process of its own, as with a GPU."""

    def killed(*_):
        raise BrokenProcessPool("A process in the process pool was terminated abruptly")

    monkeypatch.setattr(execution, "train", lambda *_: None)
    monkeypatch.setattr(execution, "in_a_process_of_its_own", killed)
    execution.execute(finished_step1, "cuda")
    assert is_done(finished_step1) and "Not probed: BrokenProcessPool" in finished_step1.log.read_text()


def test_a_probe_that_is_interrupted_is_made_by_the_next_call(finished_step1, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "probe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        execution.finish(finished_step1, "cpu")
    assert not is_done(finished_step1)
    monkeypatch.setattr(execution, "probe", lambda *_: {"encoder 0": {"step 1": 0.8, "random": 0.6}})
    execution.finish(finished_step1, "cpu")
    assert read_result(finished_step1)["probe"]


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
