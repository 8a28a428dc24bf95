"""A plan is tried before it is written: step 2's outputs."""

from __future__ import annotations

from copy import deepcopy

import pytest
from dynamic_network_architectures.architectures.unet import PlainConvUNet

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.trial import try_plan


class IgnoresClasses(PlainConvUNet):
    def __init__(self, input_channels, *args, num_classes, **kwargs):
        super().__init__(input_channels, *args, num_classes=input_channels, **kwargs)


class OneOutput(PlainConvUNet):
    supports_deep_supervision = False

    def __init__(self, *args, deep_supervision, **kwargs):
        super().__init__(*args, deep_supervision=True, **kwargs)


class OtherScales(PlainConvUNet):
    deep_supervision_scales = ((1, 1, 1), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def plans_with(dataset, name):
    plans = deepcopy(dataset.plans)
    if name is not None:
        plans["configurations"]["3d_fullres"]["architecture"]["network_class_name"] = f"{__name__}.{name}"
    return plans


def test_nnunets_own_network_passes(dataset):
    tried = try_plan(plans_with(dataset, None), "3d_fullres", dataset.dataset_json)
    assert tried["slabs"] == 2 and tried["loss"] > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("IgnoresClasses", r"shapes \[\[3, 8, 16, 16\], \[3, 4, 8, 8\]\] and have \[\[1, 8, 16, 16\]"),
        ("OneOutput", "it gives a list, against what its supports_deep_supervision says"),
        ("OtherScales", r"\[3, 2, 4, 4\]\] and have"),
    ],
)
def test_outputs_that_step_2_cannot_use_are_told(dataset, name, message):
    with pytest.raises(UserError, match=message):
        try_plan(plans_with(dataset, name), "3d_fullres", dataset.dataset_json)
