"""The journal: a line a scan, whatever happens; and what of it can be used."""

from __future__ import annotations

import pytest

from nnunetv2_lwi.nnunet.contents import Content
from nnunetv2_lwi.unlabelled.folder import Entry, Journal, UnlabelledFolder, own_identifier
from tests.tiny_dataset import add_scans

CONTENT = Content([1, 2, 3, 4], [0.5] * 27, "abc")


@pytest.fixture
def folder(tmp_path) -> UnlabelledFolder:
    return UnlabelledFolder.beside(tmp_path, "nnUNetPlans_3d_fullres")


def test_it_lies_beside_the_configurations_data(folder, tmp_path):
    assert folder.path == tmp_path / "nnUNetPlans_3d_fullres_unlabelled_lwi"
    assert UnlabelledFolder.beside(tmp_path, folder.path.name) == folder
    assert own_identifier(folder.path.name) == "nnUNetPlans_3d_fullres"


def test_what_was_written_is_read(folder):
    assert folder.read() == Journal()
    entries = [Entry("a", [[1, 2]], CONTENT, CONTENT), Entry("b", [[3, 4]], left_out="torn"), Entry("c", [], test_image="t")]
    folder.begin({"spacing": [1.0]}, True, entries[:1])
    for entry in entries[1:]:
        folder.add(entry)
    journal = folder.read()
    assert journal == Journal({"spacing": [1.0]}, True, {entry.name: entry for entry in entries})


def test_the_last_line_of_a_scan_counts_and_a_new_journal_forgets(folder):
    folder.begin({}, False, [Entry("a", [[1, 1]], left_out="cut short")])
    folder.add(Entry("a", [[2, 2]], CONTENT))
    assert folder.read().entries["a"].left_out is None
    folder.begin({}, False, [])
    assert folder.read().entries == {}


@pytest.mark.parametrize("kept", [1, 20, -2])
def test_a_line_that_a_kill_cut_short_is_as_if_never_written(folder, kept):
    folder.begin({}, False, [Entry("a", [[1, 1]], CONTENT)])
    whole = folder.journal_file.read_text()
    folder.add(Entry("b", [[1, 1]], CONTENT))
    added = folder.journal_file.read_text()[len(whole) :]
    folder.journal_file.write_text(whole + added[:kept])
    assert list(folder.read().entries) == ["a"]


def test_only_scans_that_are_there_and_fit_are_used(make_dataset):
    dataset = make_dataset(scans=3)
    folder = dataset.scans
    add_scans(dataset, {"test": 200}, test_image="case_9")
    folder.add(Entry("gone", [[1, 1]], CONTENT))
    folder.add(Entry("unfit", [[1, 1]], left_out="constant"))
    folder.remove("case_1")
    assert list(folder.scans(folder.read())) == ["case_0", "case_2"]
    assert sorted(folder.files()) == ["case_0", "case_2", "test"]
    folder.begin({}, True, list(folder.read().entries.values()))
    assert list(folder.scans(folder.read())) == ["case_0", "case_2", "test"]


def test_what_systems_leave_among_the_scans_is_overlooked(make_dataset):
    dataset = make_dataset(scans=2)
    for name in (".DS_Store", "._case_0.b2nd", "desktop.ini", ".nfs000001"):
        (dataset.scans.path / name).write_bytes(b"x")
    assert list(dataset.scans.scans(dataset.scans.read())) == ["case_0", "case_1"]


def test_a_folder_with_a_part_of_a_first_scan_has_none(folder):
    folder.path.mkdir(parents=True)
    assert folder.files() == []
    (folder.path / "a.pkl").touch()
    assert folder.files() == []
    (folder.path / "a_seg.b2nd").touch()
    assert folder.files() == []
