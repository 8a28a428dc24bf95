"""Which scans a fold's step 1 draws from: none that its validation or the test shows."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.contents import read_contents
from nnunetv2_lwi.nnunet.split_file import Cases
from nnunetv2_lwi.unlabelled.selection import Selection, select
from tests.tiny_dataset import add_scans

FOLD = Cases(["case_0", "case_1", "case_2"], ["case_3", "case_4"])


def selected(dataset, wanted=None, cases=FOLD):
    configuration = dataset.plans["configurations"]["3d_fullres"]
    contents = read_contents(dataset.cases, [*cases.train, *cases.val])
    return select(dataset.scans, dataset.plans, configuration, cases, contents, wanted)


def allow_test_images(dataset):
    journal = dataset.scans.read()
    dataset.scans.begin(journal.made_for, True, list(journal.entries.values()))


def test_all_there_are_unless_the_plan_says_otherwise(make_dataset):
    dataset = make_dataset(scans=3)
    for wanted in (None, True):
        assert list(selected(dataset, wanted).scans) == ["case_0", "case_1", "case_2"]
    assert selected(dataset, False) == Selection()
    assert selected(make_dataset("none")) == Selection()


@pytest.mark.parametrize("wanted", [True, 0.5])
def test_scans_that_are_asked_for_must_be_there(make_dataset, wanted):
    with pytest.raises(UserError, match=r"lwi.init.unlabelled = .* there are none in .*run nnUNetv2_lwi unlabelled -d"):
        selected(make_dataset(), wanted)


def test_images_of_the_folds_own_cases_are_left_out_whatever_they_are_called(make_dataset):
    dataset = make_dataset(scans=1)
    add_scans(dataset, {"validated": 3, "trained": 1})
    chosen = selected(dataset)
    assert list(chosen.scans) == ["case_0"] and chosen.test_images == []
    assert chosen.left_out == {"validated": "case_3", "trained": "case_1"}
    other_fold = selected(dataset, cases=Cases(["case_3"], ["case_4"]))
    assert set(other_fold.scans) == {"case_0", "trained"}


def test_what_is_allowed_is_marked(make_dataset):
    dataset = make_dataset(scans=1)
    add_scans(dataset, {"validated": 3, "trained": 1})
    add_scans(dataset, {"tested": 300}, test_image="t")
    assert "tested" not in selected(dataset).scans
    allow_test_images(dataset)
    chosen = selected(dataset)
    assert set(chosen.scans) == {"case_0", "validated", "tested"} and chosen.left_out == {"trained": "case_1"}
    assert sorted(chosen.test_images) == ["tested", "validated"]


def test_in_fold_all_nothing_is_only_validated(make_dataset):
    dataset = make_dataset(scans=1)
    add_scans(dataset, {"trained": 3})
    allow_test_images(dataset)
    every = [f"case_{number}" for number in range(5)]
    assert selected(dataset, cases=Cases(every, every)).left_out == {"trained": "case_3"}


def test_a_share_is_part_of_every_larger_one_and_stays_when_scans_come(make_dataset):
    dataset = make_dataset()
    add_scans(dataset, {f"s{number}": 100 + number for number in range(20)})
    shares = [set(selected(dataset, share).scans) for share in (1e-9, 0.3, 0.6, 0.9)]
    assert len(shares[0]) == 1 and all(one < other for one, other in pairwise(shares))
    assert all(abs(len(drawn) - 20 * share) <= 6 for drawn, share in zip(shares[1:], (0.3, 0.6, 0.9), strict=True))
    add_scans(dataset, {f"t{number}": 200 + number for number in range(10)})
    more = set(selected(dataset, 0.6).scans)
    assert more & {f"s{number}" for number in range(20)} == shares[2] and more > shares[2]


def test_scans_of_another_plan_are_refused(make_dataset):
    dataset = make_dataset(scans=2)
    dataset.plans["configurations"]["3d_fullres"]["normalization_schemes"] = ["NoNormalization"]
    with pytest.raises(UserError, match="were preprocessed by another plan than this: run nnUNetv2_lwi unlabelled"):
        selected(dataset)
    assert selected(dataset, False) == Selection()
