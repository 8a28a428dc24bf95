"""What is made stays; what is new, changed or another plan's is made; what is gone stays unless it is to go."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.unlabelled import update as module
from nnunetv2_lwi.unlabelled.folder import Entry
from nnunetv2_lwi.unlabelled.preprocessing import CHANGED, FAILED, NOT_READ, preprocess_scan
from nnunetv2_lwi.unlabelled.raw_scans import scans_of
from nnunetv2_lwi.unlabelled.update import read_test_images, update
from tests.raw_scans import raw_image, write_raw


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Without a pool, which takes seconds to begin."""
    monkeypatch.setattr(module, "preprocess", one_by_one)


def one_by_one(preparation, scans, processes):
    preparation.partial.mkdir(parents=True, exist_ok=True)
    return (preprocess_scan(preparation, scan) for scan in scans)


def run(raw, prune=False, **changed):
    return update(raw.preparation(**changed), scans_of([raw.scans], raw.dataset.dataset_json), 1, prune)


def images(raw):
    return {path.name: path.read_bytes() for path in raw.dataset.scans.path.iterdir()}


def test_only_what_is_new_or_changed_is_made(raw):
    raw.add(1, 2)
    first = run(raw)
    assert (sorted(first.made), first.kept, first.usable) == (["scan_1", "scan_2"], [], 2)
    before = images(raw)
    again = run(raw)
    assert (again.made, sorted(again.kept)) == ([], ["scan_1", "scan_2"]) and images(raw) == before
    raw.add(3)
    write_raw(raw.scans, "scan_2", raw_image(8))
    more = run(raw)
    assert (sorted(more.made), more.kept, more.usable) == (["scan_2", "scan_3"], ["scan_1"], 3)
    assert images(raw)["scan_1.b2nd"] == before["scan_1.b2nd"] and images(raw)["scan_2.b2nd"] != before["scan_2.b2nd"]


def test_a_scan_that_is_left_out_is_looked_at_again_when_its_file_changes(raw, monkeypatch):
    raw.add(1)
    path = raw.scans / "scan_1_0000.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:300])
    assert list(run(raw).left_out) == ["scan_1"]
    looked = []
    monkeypatch.setattr(module, "preprocess", lambda preparation, scans, processes: looked.extend(scans) or iter(()))
    assert list(run(raw).left_out) == ["scan_1"] and looked == []
    monkeypatch.setattr(module, "preprocess", one_by_one)
    path.write_bytes(whole)
    assert run(raw).made == ["scan_1"]


@pytest.mark.parametrize("reason", [CHANGED, f"{NOT_READ} (Input/output error)", f"{FAILED} (could not append)"])
def test_what_may_have_been_the_machines_fault_is_tried_again(raw, monkeypatch, reason):
    raw.add(1)
    monkeypatch.setattr(
        module, "preprocess", lambda _, scans, __: iter([Entry(scan.name, scan.state(), left_out=reason) for scan in scans])
    )
    assert run(raw).left_out == {"scan_1": reason}
    monkeypatch.setattr(module, "preprocess", one_by_one)
    assert run(raw).made == ["scan_1"]


def test_old_files_stand_until_the_new_ones_are_whole(raw, monkeypatch):
    """A step 1 may be drawing from them; what becomes of them is told when they are made anew."""
    raw.add(1, 2)
    run(raw)
    for number in (1, 2):
        write_raw(raw.scans, f"scan_{number}", raw_image(number + 5))
    there = []

    def look(preparation, scans, processes):
        there.append(sorted(preparation.folder.files()))
        yield preprocess_scan_in(preparation, scans[0])
        yield Entry(scans[1].name, scans[1].state(), left_out="it is all zero")

    monkeypatch.setattr(module, "preprocess", look)
    outcome = run(raw)
    assert there == [["scan_1", "scan_2"]] and (outcome.made, list(outcome.left_out)) == (["scan_1"], ["scan_2"])
    assert list(raw.dataset.scans.files()) == ["scan_1"]


def test_what_was_made_of_a_test_image_goes_when_the_plan_changes(raw):
    """It is not made anew, and its old file is of another plan."""
    raw.add(1, 2)
    run(raw)
    write_raw(raw.folder / "imagesTs", "t", raw_image(1))
    tests = read_test_images(raw.dataset.plans, scans_of([raw.folder / "imagesTs"], raw.dataset.dataset_json).scans, 1)
    run(raw, test_images=tests)
    raw.dataset.plans["configurations"]["3d_fullres"]["normalization_schemes"] = ["NoNormalization"]
    run(raw, test_images=tests)
    assert list(raw.dataset.scans.files()) == ["scan_2"]


def preprocess_scan_in(preparation, scan):
    preparation.partial.mkdir(parents=True, exist_ok=True)
    return preprocess_scan(preparation, scan)


def test_a_scan_that_goes_away_while_others_are_made_ends_nothing(raw):
    raw.add(1, 2)
    found = scans_of([raw.scans], raw.dataset.dataset_json)
    (raw.scans / "scan_1_0000.nii.gz").unlink()
    outcome = update(raw.preparation(), found, 1, prune=False)
    assert (outcome.made, outcome.left_out) == (["scan_2"], {"scan_1": CHANGED})
    assert update(raw.preparation(), found, 1, prune=False).kept == ["scan_2"]


def test_another_plan_makes_all_anew(raw):
    raw.add(1)
    run(raw)
    raw.dataset.plans["configurations"]["3d_fullres"]["normalization_schemes"] = ["NoNormalization"]
    assert run(raw).made == ["scan_1"]
    assert raw.dataset.scans.read().made_for["normalization_schemes"] == ["NoNormalization"]


def test_scans_whose_files_are_gone_stay_unless_they_are_to_go(raw):
    raw.add(1, 2)
    run(raw)
    (raw.scans / "scan_1_0000.nii.gz").unlink()
    outcome = run(raw)
    assert (outcome.orphans, outcome.kept, outcome.usable) == (["scan_1"], ["scan_2"], 2)
    outcome = run(raw, prune=True)
    assert (outcome.removed, outcome.orphans, outcome.usable) == (["scan_1"], [], 1)
    assert not [name for name in images(raw) if name.startswith("scan_1")]


def test_what_a_kill_left_half_made_is_removed_also_where_nothing_is_left_to_do(raw):
    raw.add(1)
    run(raw)
    partial = raw.preparation().partial
    (partial / "half").mkdir(parents=True, exist_ok=True)
    assert run(raw).kept == ["scan_1"] and not partial.exists()


def test_files_that_a_kill_left_without_a_line_are_made_anew(raw):
    raw.add(1, 2)
    run(raw)
    journal = raw.dataset.scans.journal_file
    journal.write_text("".join(line for line in journal.read_text().splitlines(True) if '"scan_2"' not in line))
    assert run(raw).made == ["scan_2"]
    os.remove(raw.dataset.scans.path / "scan_1.b2nd")
    assert run(raw).made == ["scan_1"]


def test_images_that_become_test_images_are_no_longer_used(raw):
    raw.add(1, 2)
    run(raw)
    write_raw(raw.folder / "imagesTs", "t", raw_image(2))
    tests = read_test_images(raw.dataset.plans, scans_of([raw.folder / "imagesTs"], raw.dataset.dataset_json).scans, 1)
    outcome = run(raw, test_images=tests)
    assert outcome.test_images == {"scan_2": "t"} and outcome.usable == 1
    folder = raw.dataset.scans
    assert list(folder.scans(folder.read())) == ["scan_1"]
    outcome = run(raw, test_images=tests, allows_test_images=True)
    assert outcome.test_images == {} and outcome.usable == 2
    assert list(folder.scans(folder.read())) == ["scan_1", "scan_2"]


def test_a_test_image_that_was_not_made_is_made_where_that_is_allowed_later(raw):
    raw.add(1)
    write_raw(raw.folder / "imagesTs", "t", raw_image(1))
    tests = read_test_images(raw.dataset.plans, scans_of([raw.folder / "imagesTs"], raw.dataset.dataset_json).scans, 1)
    assert run(raw, test_images=tests).usable == 0
    assert run(raw, test_images=tests, allows_test_images=True).made == ["scan_1"]


def test_nothing_of_nnunets_is_changed(raw):
    raw.add(1)
    before = {path: path.read_bytes() for path in raw.dataset.folder.rglob("*") if path.is_file()}
    run(raw)
    assert all(path.read_bytes() == content for path, content in before.items())
    new = {path.name for path in raw.dataset.folder.iterdir()} - {path.name for path in before} - {"gt_segmentations"}
    assert new >= {raw.dataset.scans.path.name, raw.dataset.scans.journal_file.name}
    assert json.loads(raw.dataset.scans.journal_file.read_text().splitlines()[0])["allows_test_images"] is False


def test_marks_of_test_images_stay_where_these_are_not_at_hand_and_go_where_they_are_others(raw):
    raw.add(1)
    write_raw(raw.folder / "imagesTs", "t", raw_image(1))
    tests = read_test_images(raw.dataset.plans, scans_of([raw.folder / "imagesTs"], raw.dataset.dataset_json).scans, 1)
    run(raw, test_images=tests)
    assert run(raw).test_images == {"scan_1": "t"}, "imagesTs is on another machine"
    raw.dataset.plans["configurations"]["3d_fullres"]["normalization_schemes"] = ["NoNormalization"]
    assert run(raw).test_images == {"scan_1": "t"}, "another plan"
    other = {"t": replace(tests["t"], voxels=list(reversed(tests["t"].voxels)))}
    assert run(raw, test_images=other).made == ["scan_1"]


def test_what_is_gone_and_was_left_out_is_forgotten_and_what_lost_a_channel_is_no_longer_used(make_raw):
    raw = make_raw(channels=2)
    raw.add(1)
    write_raw(raw.scans, "bad", 0 * raw_image(2, 2))
    assert list(run(raw).left_out) == ["bad"]
    for path in raw.scans.glob("bad*"):
        path.unlink()
    assert run(raw).left_out == {}
    (raw.scans / "scan_1_0001.nii.gz").unlink()
    outcome = run(raw)
    assert list(outcome.left_out) == ["scan_1"] and outcome.usable == 0 and not raw.dataset.scans.files()


def test_scans_that_cannot_be_made_again_are_not_dropped_for_another_plan_unasked(raw):
    raw.add(1, 2)
    run(raw)
    (raw.scans / "scan_1_0000.nii.gz").unlink()
    raw.dataset.plans["configurations"]["3d_fullres"]["normalization_schemes"] = ["NoNormalization"]
    before = images(raw)
    with pytest.raises(UserError, match=r"the files of 1 of them are not in these folders: scan_1\. Name their folder"):
        run(raw)
    assert images(raw) == before
    assert run(raw, prune=True).made == ["scan_2"]
