"""The work list: order, resuming, sharing, failures. Trainings are stood in for by writing their results."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import re
import time
from datetime import datetime
from pathlib import Path
from threading import Timer

import pytest
from filelock import FileLock

from nnunetv2_lwi.comparison import worklist
from nnunetv2_lwi.comparison.design import names_of
from nnunetv2_lwi.comparison.worklist import WorkList, seconds_an_iteration
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.interruption import AskedToEnd
from tests.comparison.conftest import write_result

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def runs(make_design):
    return make_design().runs()


@pytest.fixture
def places(runs, make_places):
    return make_places(runs)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(worklist, "SECONDS_BETWEEN_LOOKS", 0.02)


def make_list(runs, places, execute):
    lines = []
    return WorkList(places, names_of(runs), execute, lines.append), lines


def test_everything_is_done_once_and_step1_before_step2(runs, places):
    done = []

    def execute(place):
        assert place.training.after is None or place.training.after.key in done
        done.append(place.training.key)
        write_result(place, 0.5)

    work, lines = make_list(runs, places, execute)
    work.run()
    assert sorted(done) == sorted(place.training.key for place in places)
    assert len(lines) == len(places)
    assert f"0 of {len(places)} trainings done" in lines[0] and "Now: random, 2 cases, seed 0, 50 iterations" in lines[0]
    assert "1 left, ends about" in lines[-1]


def test_what_is_done_is_not_done_again(runs, places):
    for place in places[:3]:
        write_result(place, 0.5)
    done = []
    make_list(runs, places, lambda place: (done.append(place.training.key), write_result(place, 0.5)))[0].run()
    assert done == [place.training.key for place in places[3:]]


def test_when_it_ends_is_told_by_what_any_process_finished(runs, places):
    for place, seconds in zip(places[:2], (100, 300), strict=True):
        write_result(place, 0.5)
        result = json.loads(place.result.read_text())
        place.result.write_text(json.dumps({**result, "iterations": 50, "seconds": seconds - 20, "scoring_seconds": 20}))
    assert seconds_an_iteration(places[:2]) == pytest.approx(4)
    work, lines = make_list(runs, places, lambda place: write_result(place, 0.5))
    before = datetime.now()
    work.run()
    left = sum(place.training.iterations for place in places[2:])
    end = datetime.strptime(re.search(r"ends about ([\d: -]+)\.", lines[0])[1], "%Y-%m-%d %H:%M")
    assert abs((end - before).total_seconds() - 4 * left) < 120


def failing(broken, error):
    """Does every training but one."""

    def execute(place):
        if place is broken:
            raise error
        write_result(place, 0.5)

    return execute


def test_a_failure_stops_only_what_depends_on_it(runs, places):
    work, lines = make_list(runs, places, failing(places[1], UserError("the disk is full")))
    with pytest.raises(UserError, match=r"1 trainings failed.*step 1 of lwi, 2 cases, seed 0: .*the disk is full"):
        work.run()
    unfinished = [place for place in places if not place.result.is_file()]
    assert unfinished[0] is places[1] and all(place.training.after.key == places[1].training.key for place in unfinished[1:])
    assert any(line.startswith("FAILED: step 1 of lwi") for line in lines)
    written = sum(place.result.is_file() for place in places)
    assert f"{written - 1} of {len(places)} trainings done" in lines[-1], "neither failures nor what waits for them count"


def test_an_error_that_nobody_foresaw_stops_only_its_training(runs, places):
    work, _ = make_list(runs, places, failing(places[0], KeyError("case_7")))
    with pytest.raises(UserError, match=r"1 trainings failed.*random, 2 cases, seed 0: KeyError: 'case_7' \(all of it: "):
        work.run()
    assert [place.result.is_file() for place in places] == [False] + [True] * (len(places) - 1)
    assert "Traceback" in places[0].log.read_text() and "KeyError: 'case_7'" in places[0].log.read_text()


def test_a_signal_ends_the_list_and_leaves_its_training_to_others(runs, places):
    """Of a job whose time is over: the training has saved itself, and the next job goes on with it."""
    work, _ = make_list(runs, places, failing(places[1], AskedToEnd("saved")))
    with pytest.raises(AskedToEnd):
        work.run()
    assert [place.result.is_file() for place in places[:3]] == [True, False, False] and not work.failures
    with FileLock(places[1].lock, blocking=False):
        pass


def test_what_another_process_does_is_waited_for_and_told_once(runs, places):
    for place in places[1:]:
        write_result(place, 0.5)
    places[0].folder.mkdir(parents=True)
    lock = FileLock(places[0].lock)
    done = []
    work, lines = make_list(runs, places, lambda place: done.append(place))
    with lock:
        assert not work._do_one() and not done
        other = Timer(0.3, lambda: write_result(places[0], 0.5))
        other.start()
        work.run()
        other.join()
    assert not done
    assert lines == ["Waiting: other processes do what is left, 1 trainings."]


def share(runs, places, folder, number):
    def execute(place):
        with (Path(folder) / f"{place.training.key}.{number}").open("x"):
            time.sleep(0.02)
        write_result(place, 0.5)

    make_list(runs, places, execute)[0].run()


def test_processes_share_a_list_without_doing_a_training_twice(runs, places, tmp_path):
    processes = [FORK.Process(target=share, args=(runs, places, tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    done = [path.name.split(".") for path in tmp_path.glob("*.[0-3]")]
    assert sorted(key for key, _ in done) == sorted(place.training.key for place in places)
    assert len({number for _, number in done}) > 1


def hang(runs, places, started):
    def execute(place):
        started.set()
        time.sleep(600)

    make_list(runs, places, execute)[0].run()


def test_the_lock_of_a_killed_process_is_free(runs, places):
    started = FORK.Event()
    process = FORK.Process(target=hang, args=(runs, places, started))
    process.start()
    assert started.wait(30)
    assert worklist._held_by_another(places[0])
    process.kill()
    process.join(30)
    done = []
    make_list(runs, places, lambda place: (done.append(place), write_result(place, 0.5)))[0].run()
    assert done[0] is places[0]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_where_the_file_system_has_no_locks_one_process_does_the_list(runs, places, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    work, lines = make_list(runs, places, lambda place: write_result(place, 0.5))
    work.run()
    assert all(place.result.is_file() for place in places)
    assert lines.count("The file system has no locks: call this command in one process at a time.") == 1


def test_a_log_that_cannot_be_written_does_not_end_the_list(runs, places):
    """A full disk, say, which the training's log meets as well."""
    places[0].folder.mkdir(parents=True)
    places[0].log.symlink_to("/dev/full")
    work, _ = make_list(runs, places, failing(places[0], OSError("No space left on device")))
    with pytest.raises(UserError, match=r"1 trainings failed.*OSError: No space left on device"):
        work.run()
    assert [place.result.is_file() for place in places] == [False] + [True] * (len(places) - 1)


@pytest.mark.parametrize("content", ["", '{"iterations": 5', "\0" * 20])
def test_a_result_that_cannot_be_read_is_made_again(runs, places, content):
    for place in places:
        write_result(place, 0.5)
    places[0].result.write_text(content)
    done = []
    make_list(runs, places, lambda place: (done.append(place), write_result(place, 0.5)))[0].run()
    assert done == [places[0]]


def test_when_it_ends_counts_the_processes_that_work_on_it(runs, places):
    write_result(places[0], 0.5)
    work, _ = make_list(runs, places, None)
    left = places[1:]
    assert work._workers(left) == 1, "at least this one"
    for place in left[:3]:
        place.folder.mkdir(parents=True)
    with FileLock(left[0].lock), FileLock(left[1].lock):
        assert work._workers(left) == 3, "this one and two others"


def test_a_training_that_stays_without_scores_is_not_tried_for_ever(runs, places):
    def execute(place):
        write_result(place, 0.5)
        if place is places[0]:
            result = json.loads(place.result.read_text())
            place.result.write_text(json.dumps(result | {"scores": {}}))

    with pytest.raises(UserError, match=r"1 trainings failed.*random, 2 cases, seed 0: some cases have no score"):
        make_list(runs, places, execute)[0].run()


def test_what_another_process_could_not_score_is_scored_here(runs, places, monkeypatch):
    for place in places:
        write_result(place, 0.5)
    unscored = next(place for place in places if not place.training.is_step1)
    result = json.loads(unscored.result.read_text())
    del result["scores"]["validation"]["mirrored"][unscored.training.val_cases[0]]
    unscored.result.write_text(json.dumps(result))
    done = []
    work, lines = make_list(runs, places, lambda place: (done.append(place), write_result(place, 0.5)))
    work.run()
    assert done == [unscored] and "scoring" in lines[0]


def test_what_another_scores_anew_is_not_fought_over(runs, places):
    """Two machines with other test cases each would find the other's scores wanting, for ever."""
    done = []

    def execute(place):
        done.append(place)
        write_result(place, 0.5)
        places[0].result.unlink(missing_ok=True) if place is places[1] else None

    make_list(runs, places, execute)[0].run()
    assert done == places
