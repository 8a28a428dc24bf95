from __future__ import annotations

import pytest

from benchmarks.datasets import PhantomDataset
from benchmarks.plans import CPU_PATCHES, make_plan, own_plan
from nnunetv2_lwi.planning.presets import list_presets


def test_every_small_preset_is_measured():
    assert set(CPU_PATCHES) == {preset.name for preset in list_presets() if preset.name.endswith("_small")}


def test_nnunets_own_network_keeps_its_configuration(phantom, dataset):
    plan = own_plan(phantom)
    assert str(plan) == "PlainConvUNet, 2 x 8x16x16"
    assert plan.configuration == "3d_fullres"
    assert plan.resolved["architecture"] == dataset.plans["configurations"]["3d_fullres"]["architecture"]
    assert plan.resolved["lwi"]["seg"]["start"] == "random"


def test_a_data_set_may_be_measured_on_another_patch(phantom):
    larger = PhantomDataset(phantom.number, phantom.name, phantom.shape, phantom.cases, (16, 16, 16))
    assert str(own_plan(larger)) == "PlainConvUNet, 2 x 16x16x16"


@pytest.mark.parametrize("name", CPU_PATCHES)
def test_presets_are_named_with_what_is_measured(phantom, name):
    patch = CPU_PATCHES[name]
    plan = make_plan(name, phantom, {"patch_size": patch, "batch_size": 1})
    assert str(plan) == f"{name}, 1 x {'x'.join(map(str, patch))}"
    assert plan.resolved["architecture"]["arch_kwargs"]["patch_size"] == patch
    assert plan.resolved["spacing"] == [2.0, 1.0, 1.0]
