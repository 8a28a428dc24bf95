"""A step 1 read from its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.checkpoint import FORMAT, READABLE
from nnunetv2_lwi.handover.record import TEST_SCANS, UNLABELLED
from nnunetv2_lwi.handover.step1 import Step1, Verdict, find_step1, judge, read_step1
from nnunetv2_lwi.names import STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.nnunet.contents import Content

PROVENANCE = {"dataset_name": "D", "plans_name": "P", "configuration": "c", "fold": 0, "cases": ["a"], "versions": {}}


def write(path: Path, trainer: str = STEP1_TRAINER, **changes: Any) -> Path:
    ours = {"format": FORMAT, "digest": {"patch_size": [8]}, "provenance": PROVENANCE, "untrained": ["w"]} | changes
    ours = {key: value for key, value in ours.items() if value is not None}
    content = {"trainer_name": trainer, "network_weights": {"w": torch.ones(2)}, "lwi": ours}
    torch.save(content, path)
    return path


def test_what_stands_in_the_checkpoint_is_read(tmp_path):
    path = write(tmp_path / "a.pth")
    for step1 in (read_step1(str(path)), find_step1(path)):
        assert step1 is not None and (step1.path, step1.digest, step1.provenance) == (path, {"patch_size": [8]}, PROVENANCE)
        assert torch.equal(step1.weights["w"], torch.ones(2)) and step1.untrained == ["w"]
        assert step1.origin == "D, plans P, configuration c, fold 0"
    assert read_step1(write(tmp_path / "b.pth", untrained=None)).untrained == []
    assert step1.record is None and read_step1(write(tmp_path / "c.pth", run={"dataset": "D"})).record == {"dataset": "D"}


def test_the_checkpoint_of_another_trainer_is_none(tmp_path):
    path = write(tmp_path / "a.pth", trainer=STEP2_TRAINER)
    assert find_step1(path) is None
    with pytest.raises(UserError) as error:
        read_step1(path)
    assert error.value.reason == (
        f"{path} is not the checkpoint of a step 1 but of trainer {STEP2_TRAINER}. Give the checkpoint_final.pth of a "
        f"training with -tr {STEP1_TRAINER}."
    )
    torch.save({"trainer_name": STEP1_TRAINER, "network_weights": {}, "lwi": None}, path)
    assert find_step1(path) is None, "a trainer of the same name that is not ours"


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"digest": None}, "digest"),
        ({"digest": None, "provenance": None}, "digest, provenance"),
        (
            {"provenance": {"dataset_name": "D", "fold": 0}},
            "provenance.plans_name, provenance.configuration, provenance.cases",
        ),
    ],
)
def test_a_checkpoint_that_lacks_something_is_damaged(tmp_path, changes, lacking):
    path = write(tmp_path / "a.pth", **changes)
    with pytest.raises(UserError) as error:
        find_step1(path)
    assert error.value.reason.startswith(f"{path} is damaged: its lwi holds no {lacking}")
    assert error.value.reason.endswith(". Use another one, or train again.")


def test_another_format_is_refused(tmp_path):
    path, reads = write(tmp_path / "a.pth", format=99), " and ".join(map(str, READABLE))
    with pytest.raises(UserError) as error:
        find_step1(path)
    assert error.value.reason == (
        f"{path} was written by another version of nnunetv2_lwi: its format is 99, this version reads {reads}. Use that "
        "version, or train again."
    )


def test_a_step_1_is_judged_by_digest_and_cases(tmp_path):
    step1 = Step1(tmp_path, {}, {"seed": 1}, PROVENANCE | {"cases": ["a", "b"]}, [])
    verdict = judge(step1, {"seed": 2}, here(["c"], ["a", "b"]))
    assert verdict.refusals == ["seed: 1, here 2"]
    assert verdict.warnings == ["step 1 saw the images (not the labels) of 2 of this fold's validation cases: a, b"]
    with pytest.raises(UserError) as error:
        Verdict(["x", "y"]).raise_if_refused(step1)
    assert error.value.reason == f"{tmp_path} cannot start this training: x; y."
    Verdict([], ["warned"]).raise_if_refused(step1)


def here(train: list[str], val: list[str], dataset: str = "D", contents: dict[str, Content] | None = None, **plan: Any):
    """A training's record."""
    plain = {case: content.plain() for case, content in (contents or {}).items()}
    return {"dataset": dataset, "train": train, "val": val, "plan": plan, "contents": plain}


def image(seed: int, scale: float = 1.0, shift: float = 0.0) -> Content:
    voxels = np.random.default_rng(seed).standard_normal(27) * scale + shift
    return Content([1, 8, 8, 8], voxels.tolist(), "labels")


def step1_of(contents: dict[str, Content], **plan: Any) -> Step1:
    record = here(list(contents), [], contents=contents, **plan)
    return Step1(Path("a"), {}, {}, PROVENANCE | {"cases": list(contents)}, [], record=record)


def test_images_that_were_seen_are_told_by_what_they_show_in_another_data_set():
    """One set of images with two sets of labels; renamed, and normalised by the other data set's intensities."""
    step1 = step1_of({"a": image(1), "b": image(2)})
    other = {"x": image(2, scale=3, shift=7), "a": image(3)}
    (told,) = judge(step1, {}, here([], ["a", "x"], "Other", other)).warnings
    assert told == "step 1 saw the images (not the labels) of 1 of this fold's validation cases: x (b of D)"
    assert judge(step1, {}, here(["x"], ["a"], "Other", other)).warnings == []


def test_of_an_earlier_version_s_step_1_only_names_can_be_compared_with_another_data_set():
    step1 = Step1(Path("a"), {}, {}, PROVENANCE | {"cases": ["a", "b"]}, [])
    (told,) = judge(step1, {}, here([], ["a", "c"], "Other")).warnings
    assert told.endswith("1 of this fold's validation cases: a (if a of D is the same)")


def test_a_step_1_on_images_normalised_in_another_way_is_refused():
    schemes = {"normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False]}
    step1 = step1_of({}, **schemes, batch_size=2)
    assert judge(step1, {}, here([], [], **schemes, batch_size=4)).refusals == []
    refusals = judge(step1, {}, here([], [], **schemes | {"use_mask_for_norm": [True]})).refusals
    assert refusals == ["use_mask_for_norm: [False], here [True]"]


def test_images_that_were_preprocessed_again_since_are_told():
    step1 = step1_of({"a": image(1), "b": image(2)})
    assert judge(step1, {}, here(["a", "b"], [], contents={"a": image(1), "b": image(2)})).warnings == []
    (told,) = judge(step1, {}, here(["a", "b"], [], contents={"a": image(1), "b": image(2, scale=2)})).warnings
    assert told == ("step 1 was another run than this: the preprocessed images of 1 cases are others than then: b")


def test_a_step_1_of_other_cases_of_the_data_set_is_told():
    told = judge(step1_of({"a": image(1), "b": image(2)}), {}, here(["a"], [])).warnings
    assert told == ["step 1 was another run than this: 1 training cases are gone: b"]
    assert judge(step1_of({"a": image(1)}), {}, here(["x"], [], "Other")).warnings == []


def test_what_a_step_1_kept_back_is_what_it_trained(tmp_path):
    path = write(tmp_path / "a.pth", kept_back={"w": torch.zeros(2)})
    step1 = read_step1(path)
    assert torch.equal(step1.weights["w"], torch.ones(2)) and torch.equal(step1.trained["w"], torch.zeros(2))
    assert torch.equal(read_step1(write(path)).trained["w"], torch.ones(2))


def of_scans(scans: dict[str, Content]) -> dict[str, Any]:
    """What a record says of scans without labels."""
    plain = {name: content.plain() for name, content in scans.items()}
    return {UNLABELLED: {"scans": plain, "left_out": {}, "test_images": []}}


def test_a_validation_image_among_the_scans_without_labels_is_told():
    record = here(["a"], [], contents={"a": image(1)}) | of_scans({"scan": image(2), "other": image(3)})
    step1 = Step1(Path("a"), {}, {}, PROVENANCE | {"cases": ["a"]}, [], record=record)
    (told,) = judge(step1, {}, here(["a"], ["b"], contents={"a": image(1), "b": image(2, scale=2)})).warnings[:1]
    assert told.endswith("of 1 of this fold's validation cases: b (scan scan)")


def test_a_scan_that_was_found_to_be_a_test_image_after_step_1_drew_from_it_is_told():
    record = here(["a"], [], contents={"a": image(1)}) | of_scans({"scan": image(2), "other": image(3)})
    step1 = Step1(Path("a"), {}, {}, PROVENANCE | {"cases": ["a"]}, [], record=record)
    now = here(["a"], [], contents={"a": image(1)}) | of_scans({"other": image(3)})
    assert judge(step1, {}, now).warnings == []
    told = judge(step1, {}, now | {TEST_SCANS: {"scan": "test_7", "unseen": "test_8"}}).warnings
    assert told == ["step 1 saw the images (not the labels) of 1 test cases: test_7 (scan scan)"]
    alone = Step1(Path("a"), {}, {}, PROVENANCE | {"cases": ["scan", "other"]}, [], record=here(["scan", "other"], []))
    assert judge(alone, {}, now | {TEST_SCANS: {"scan": "test_7"}}).warnings[0] == told[0]
    same_name = Step1(Path("a"), {}, {}, PROVENANCE | {"cases": ["a"]}, [], record=here(["a"], []))
    assert not any("test cases" in text for text in judge(same_name, {}, now | {TEST_SCANS: {"a": "test_7"}}).warnings)


def test_scans_that_came_since_are_told_and_those_on_another_machine_are_not():
    run = here(["a"], [], contents={"a": image(1)})

    def warnings(then: dict[str, Content], now: dict[str, Content]) -> list[str]:
        step1 = Step1(Path("a"), {}, {}, PROVENANCE | {"cases": ["a"]}, [], record=run | of_scans(then))
        return judge(step1, {}, run | of_scans(now)).warnings

    assert warnings({}, {"scan": image(2)}) == [
        "step 1 was another run than this: scans without labels that are new: 1 (scan)"
    ]
    assert warnings({"scan": image(2)}, {}) == []


def test_within_one_data_set_too_images_are_told_by_what_they_show():
    """As a step 1 on scans without labels alone knows them by the scans' names."""
    step1 = step1_of({"scan": image(1)})
    (told,) = judge(step1, {}, here(["x"], ["case"], contents={"case": image(1), "x": image(5)})).warnings[:1]
    assert told.endswith("of 1 of this fold's validation cases: case (scan of D)")
