"""Which weights go over, and what is told of those that do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.digest import differing_keys, make_digest
from nnunetv2_lwi.handover.step1 import Step1, judge
from nnunetv2_lwi.handover.transfer import Transfer, hand_over, misfits
from nnunetv2_lwi.planning.settings import LWISettings
from tests.networks_for_tests import build_unet

STRIDES = [[1, 1, 1], [2, 2, 2]]


def make_step1(network, cases=("a", "b")) -> Step1:
    provenance = {"dataset_name": "Dataset001_A", "plans_name": "P", "configuration": "c", "fold": 0, "cases": list(cases)}
    return Step1(Path("step1.pth"), network.state_dict(), {"lwi": {"seed": 1}}, provenance, [])


def test_everything_but_the_output_layers_goes_over_buffers_included():
    source, target = build_unet(STRIDES, outputs=1), build_unet(STRIDES, outputs=3)
    for network in (source, target):
        network.encoder.register_buffer("statistics", torch.rand(2))
    transfer = hand_over(make_step1(source), target, target.state_dict())
    assert torch.equal(target.encoder.statistics, source.encoder.statistics)
    assert transfer.left == ["decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"]
    assert set(transfer.taken) | set(transfer.left) == set(target.state_dict())
    assert all(torch.equal(target.state_dict()[key], source.state_dict()[key]) for key in transfer.taken)


def test_a_network_that_does_not_fit_is_left_as_it_was():
    source, target = build_unet([[1, 1, 1], [2, 2, 2], [2, 2, 2]]), build_unet(STRIDES, channels=2)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(UserError, match=r"has shape \[4, 1, 3, 3, 3\], here \[4, 2, 3, 3, 3\]"):
        hand_over(make_step1(source), target, target.state_dict())
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())
    assert any("is missing" in problem for problem in misfits({}, target))
    assert len(misfits({}, target, with_output_layers=True)) > len(misfits({}, target))


def test_cases_are_compared_by_name_within_one_data_set():
    step1 = make_step1(build_unet(STRIDES))
    digest = {"lwi": {"seed": 1}}

    def warnings(train, val, dataset="Dataset001_A"):
        return judge(step1, digest, {"dataset": dataset, "train": train, "val": val, "plan": {}, "contents": {}}).warnings

    assert warnings(["a"], ["b"])
    assert not warnings(["a"], ["c"])
    assert not warnings(["a", "b"], ["a", "b"]), "fold all validates what it trains on"
    assert "if a of Dataset001_A is the same" in warnings([], ["a"], "Dataset002_B")[0]


def test_digests_differ_by_what_the_weights_depend_on():
    configuration = {"architecture": {"arch_kwargs": {"n_stages": 3}}, "patch_size": [8, 8, 8], "spacing": [1, 1, 1]}
    settings = LWISettings()
    digest = make_digest(configuration, 1, settings)
    assert differing_keys(digest, make_digest(configuration | {"batch_dice": True}, 1, settings)) == []
    assert differing_keys(digest, make_digest(configuration, 2, settings)) == ["image_channels: 1, here 2"]
    deeper = configuration | {"architecture": {"arch_kwargs": {"n_stages": 4}}}
    assert differing_keys(digest, make_digest(deeper, 1, settings)) == ["architecture.arch_kwargs.n_stages: 3, here 4"]


def test_what_step_1_did_not_train_is_told_where_it_is_taken():
    source, target = build_unet(STRIDES, outputs=1), build_unet(STRIDES, outputs=3)
    untrained = ["decoder.stages.0.convs.0.conv.weight", "encoder.stages.0.0.convs.0.conv.bias"]
    step1 = replace(make_step1(source), untrained=untrained)
    assert hand_over(step1, target, target.state_dict()).untrained == untrained
    assert hand_over(step1, target, untrained[1:]).untrained == untrained[1:]


def test_a_transfer_is_told_in_words():
    taken, left = ["a", "b", "c", "d", "e"], ["o.w", "o.b"]
    assert str(Transfer(taken, [], [], [])) == "5 of 5 tensors come from step 1."
    assert str(Transfer(taken, left, ["n"], ["a", "b", "c", "d", "e"], source="them")) == (
        "5 of 8 tensors come from them; 2 stay random, being output layers: o.w, o.b; 1 stay as drawn, since the plan does "
        "not hand them over (lwi.seg.hand_over): n; 5 of those taken are as random as they were drawn, "
        "since step 1 did not train them (lwi.reconstruction_weight is 0): a, b, c, d and 1 more."
    )


def test_misfits_are_all_told():
    source, target = build_unet(STRIDES, outputs=1), build_unet(STRIDES, outputs=3)
    state = source.state_dict()
    last = list(state)[-1]
    assert ".seg_layers." in last, "the output layers come last, so that what follows them is looked at too"
    shuffled = nn.ModuleDict({"x": nn.ModuleDict({"seg_layers": nn.Linear(1, 1), "z": nn.Linear(1, 1)})})
    assert misfits({}, shuffled) == ["x.z.weight is missing", "x.z.bias is missing"]
    assert misfits(state, target) == []


def test_what_was_kept_back_goes_over_where_it_is_wanted():
    source, target = build_unet(STRIDES, outputs=1), build_unet(STRIDES, outputs=3)
    key = "decoder.stages.0.convs.0.conv.weight"
    step1 = replace(make_step1(source), kept_back={key: torch.full_like(source.state_dict()[key], 7.0)})
    hand_over(step1, target, [])
    assert not (target.state_dict()[key] == 7).any()
    hand_over(step1, target, [key])
    assert (target.state_dict()[key] == 7).all()
