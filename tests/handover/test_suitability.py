"""Whether checkpoints fit a training that is not running."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.checkpoint import FORMAT
from nnunetv2_lwi.handover.digest import make_digest
from nnunetv2_lwi.handover.record import UNLABELLED, only_scans_are_new, record_of
from nnunetv2_lwi.handover.suitability import changes_since, check_step1, check_weights, read_run, require_fitting
from nnunetv2_lwi.method.pretext_network import build_pretext_network
from nnunetv2_lwi.names import STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.nnunet.split_file import Cases
from nnunetv2_lwi.planning.settings import LWISettings
from tests.networks_for_tests import build_unet
from tests.tiny_dataset import NAME, STRIDES, make_plans

DATASET_JSON = {"channel_names": {"0": "MRI0"}, "labels": {"background": 0, "one": 1, "two": 2}, "file_ending": ".nii.gz"}
Plans = dict[str, Any]


@pytest.fixture
def plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plans:
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    return make_plans()


def changed(plans: Plans, **lwi: Any) -> Plans:
    other = deepcopy(plans)
    other["configurations"]["3d_fullres"]["lwi"] |= lwi
    return other


def write_step1(path: Path, plans: Plans, **more: Any) -> Path:
    configuration = PlansManager(plans).get_configuration("3d_fullres")
    settings = LWISettings.from_configuration(configuration.configuration)
    provenance = {"plans_name": "nnUNetPlans", "configuration": "3d_fullres", "fold": 0, "cases": ["a"], "versions": {}}
    ours = {
        "format": FORMAT,
        "digest": make_digest(configuration.configuration, 1, settings),
        "provenance": provenance | {"dataset_name": NAME},
    }
    weights = build_pretext_network(configuration, 1, settings).state_dict()
    torch.save({"trainer_name": STEP1_TRAINER, "network_weights": weights, "lwi": ours} | more, path)
    return path


def test_a_step_1_of_the_same_plan_fits(tmp_path, plans):
    path = write_step1(tmp_path / "a.pth", plans)
    step1, verdict, transfer = check_step1(path, plans, "3d_fullres", DATASET_JSON, Cases(["a"], ["b"]))
    assert step1.path == path and verdict.refusals == [] and verdict.warnings == []
    assert transfer is not None and all("encoder." in key for key in transfer.taken) and transfer.untrained == []
    assert len(transfer.taken) + len(transfer.left) + len(transfer.unwanted) == len(step1.weights)
    whole = check_step1(path, changed(plans, seg={"hand_over": "network"}), "3d_fullres", DATASET_JSON, None)[2]
    assert whole is not None and whole.unwanted == []
    assert check_step1(path, plans, "3d_fullres", DATASET_JSON, Cases(["c"], ["a"]))[1].warnings
    elsewhere = plans | {"dataset_name": "Dataset998_B"}
    (told,) = check_step1(path, elsewhere, "3d_fullres", DATASET_JSON, Cases(["c"], ["a"]))[1].warnings
    assert f"a (if a of {NAME} is the same)" in told


def order_weight(plans: Plans) -> float:
    """As the recipe decides it for these plans."""
    return LWISettings.from_configuration(plans["configurations"]["3d_fullres"]).order_weight


def test_a_step_1_of_other_settings_does_not(tmp_path, plans):
    path = write_step1(tmp_path / "a.pth", plans)
    _, verdict, transfer = check_step1(path, changed(plans, order_weight=0.5), "3d_fullres", DATASET_JSON, None)
    assert verdict.refusals == [f"lwi.order_weight: {order_weight(plans)}, here 0.5"] and transfer is None


def test_a_step_1_whose_weights_are_not_what_it_says_does_not(tmp_path, plans):
    weights = build_unet(STRIDES, features=6).state_dict()
    path = write_step1(tmp_path / "a.pth", plans, network_weights=weights)
    _, verdict, transfer = check_step1(path, plans, "3d_fullres", DATASET_JSON, None)
    assert "encoder.stages.0.0.convs.0.conv.weight has shape [6, 1, 3, 3, 3], here [4, 1, 3, 3, 3]" in verdict.refusals
    assert transfer is None


@pytest.mark.parametrize("outputs", [1, 3])
def test_any_trainers_weights_fit_by_names_and_shapes_output_layers_aside(tmp_path, plans, outputs):
    torch.save({"network_weights": build_unet(STRIDES, outputs=outputs).state_dict()}, tmp_path / "a.pth")
    assert check_weights(tmp_path / "a.pth", plans, "3d_fullres", DATASET_JSON) == []
    require_fitting(tmp_path / "a.pth", build_unet(STRIDES, outputs=5))
    torch.save({"network_weights": build_unet(STRIDES[:2]).state_dict()}, tmp_path / "b.pth")
    problems = check_weights(tmp_path / "b.pth", plans, "3d_fullres", DATASET_JSON)
    assert any("encoder.stages.2" in problem and "is missing" in problem for problem in problems)
    with pytest.raises(UserError, match=r"-pretrained_weights .*b\.pth does not fit the network of this plan: .* more\.$"):
        require_fitting(tmp_path / "b.pth", build_unet(STRIDES))


def write_step2(path: Path, plans: Plans, **changes: Any) -> Path:
    settings = LWISettings.from_configuration(plans["configurations"]["3d_fullres"])
    digest = make_digest(plans["configurations"]["3d_fullres"], 1, settings)
    ours = {"format": FORMAT, "digest": digest, "start": {"kind": "step1"}, "step2": settings.step2()} | changes
    torch.save({"trainer_name": STEP2_TRAINER, "network_weights": {}, "lwi": ours}, path)
    return path


def test_a_step_2_says_what_it_was_trained_with(tmp_path, plans):
    state = read_run(write_step2(tmp_path / "a.pth", plans), STEP2_TRAINER)
    assert changes_since(state, STEP2_TRAINER, plans, "3d_fullres", DATASET_JSON, None) == []
    other = changed(plans, order_weight=0.5, seg={"epochs": 7, "lr": 1e-2})
    assert changes_since(state, STEP2_TRAINER, other, "3d_fullres", DATASET_JSON, None) == [
        f"lwi.order_weight: {order_weight(plans)}, here 0.5",
        "lwi.seg.epochs: 2, here 7",
    ]


def test_where_a_step_2_belongs_nothing_else_is_read(tmp_path, plans):
    path = write_step1(tmp_path / "a.pth", plans)
    with pytest.raises(UserError) as error:
        read_run(path, STEP2_TRAINER)
    assert error.value.reason == f"{path} is a checkpoint of {STEP1_TRAINER}, where one of {STEP2_TRAINER} belongs."
    torch.save({"trainer_name": STEP2_TRAINER, "network_weights": {}}, path)
    with pytest.raises(UserError, match=f"a checkpoint of {STEP2_TRAINER}, where one of"):
        read_run(path, STEP2_TRAINER)
    for changes, lacking in (
        ({"digest": {}, "start": {}}, r"digest\.lwi, start\.kind"),
        ({"digest": {}}, r"digest\.lwi"),
        ({"start": None}, "start"),
        ({"start": {}}, r"start\.kind"),
    ):
        with pytest.raises(UserError, match=rf"is damaged: its lwi holds no {lacking}\. Move it away\.$"):
            read_run(write_step2(path, plans, **changes), STEP2_TRAINER)
    with pytest.raises(UserError, match=rf"{path} was written by another version of nnunetv2_lwi: its format is 0"):
        read_run(write_step2(path, plans, format=0), STEP2_TRAINER)


FOLD = Cases(["case_0", "case_1"], ["case_2"])


@pytest.mark.parametrize("trainer", [STEP1_TRAINER, STEP2_TRAINER])
def test_what_changed_since_a_training_are_its_settings_cases_and_data(make_dataset, trainer):
    dataset = make_dataset(scans=2)
    step1 = trainer == STEP1_TRAINER
    plans, dataset_json = dataset.plans, dataset.dataset_json
    configuration = PlansManager(plans).get_configuration("3d_fullres").configuration
    settings = LWISettings.from_configuration(configuration)
    run = record_of(plans, configuration, FOLD, *((None, settings.init) if step1 else (dataset_json,)))
    state = {"digest": make_digest(configuration, 1, settings), "start": {"kind": "step1"}, "run": run}
    state |= {} if step1 else {"step2": settings.step2()}

    def since(plans: Plans = plans, cases: Cases | None = FOLD, state: dict[str, Any] = state) -> list[str]:
        return changes_since(state, trainer, plans, "3d_fullres", dataset_json, cases)

    assert since() == since(cases=None) == []
    other_fold = Cases(["case_0", "case_3"], ["case_2"])
    assert since(cases=other_fold) == ["1 training cases are new: case_3", "1 training cases are gone: case_1"]
    (change,) = since(changed(plans, seed=5)) if step1 else since(changed(plans, seg=plans_seg(plans) | {"lr": 0.5}))
    assert change.startswith("lwi.seed: 3, here 5" if step1 else "lwi.seg.lr: 0.01, here 0.5")
    without_scans = deepcopy(run)
    without_scans.get(UNLABELLED, {}).get("scans", {}).clear()
    told = since(state=state | {"run": without_scans})
    assert (len(told) == 1 and only_scans_are_new(told)) if step1 else told == []
    of_other_labels = deepcopy(run)
    of_other_labels.setdefault("labels", {"labels": {}})["labels"] = {"background": 0}
    assert bool(since(state=state | {"run": of_other_labels})) != step1
    assert since(state={key: value for key, value in state.items() if key != "run"}) == []


def plans_seg(plans: Plans) -> dict[str, Any]:
    seg: dict[str, Any] = plans["configurations"]["3d_fullres"]["lwi"]["seg"]
    return seg
