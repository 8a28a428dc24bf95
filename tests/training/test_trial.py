"""A plan is tried before it is written: networks that one of the two steps could not train, or would train wrongly."""

from __future__ import annotations

from copy import deepcopy

import pytest
from dynamic_network_architectures.architectures.unet import PlainConvUNet

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training import trial
from nnunetv2_lwi.training.trial import memory_of_steps, try_plan


class AsManyOutputsAsInputs(PlainConvUNet):
    def __init__(self, input_channels, *args, num_classes, **kwargs):
        super().__init__(input_channels, *args, num_classes=input_channels, **kwargs)


class AlwaysThreeOutputs(PlainConvUNet):
    def __init__(self, *args, num_classes, **kwargs):
        super().__init__(*args, num_classes=3, **kwargs)


class ClassesInTheTrunk(PlainConvUNet):
    def __init__(self, *args, num_classes, features_per_stage, **kwargs):
        features = [width * num_classes for width in features_per_stage]
        super().__init__(*args, num_classes=num_classes, features_per_stage=features, **kwargs)


class ChangedOutputs(PlainConvUNet):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.decoder.register_forward_hook(lambda decoder, inputs, outputs: self.change(outputs))


class ReadsValues(ChangedOutputs):
    """Cannot run on the meta device."""

    @staticmethod
    def change(outputs):
        for output in outputs:
            output.max().item()
        return outputs


class CoarsestFirst(ChangedOutputs):
    @staticmethod
    def change(outputs):
        return outputs[::-1] if isinstance(outputs, list) else outputs


class CoarsestFirstReadingValues(CoarsestFirst):
    @staticmethod
    def change(outputs):
        return CoarsestFirst.change(ReadsValues.change(outputs))


class FullResolutionAlone(ChangedOutputs):
    """nnU-Net's loss would compare what there is."""

    @staticmethod
    def change(outputs):
        return outputs[:1] if isinstance(outputs, list) else outputs


class NoList(ChangedOutputs):
    @staticmethod
    def change(outputs):
        return outputs[0] if isinstance(outputs, list) else outputs


class HalfResolution(ChangedOutputs):
    @staticmethod
    def change(outputs):
        return outputs if isinstance(outputs, list) else outputs[..., ::2]


class OtherScales(PlainConvUNet):
    deep_supervision_scales = ((1, 1, 1), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class TooManyWeights(PlainConvUNet):
    deep_supervision_weights = (4 / 7, 2 / 7, 1 / 7)


class DeniesDeepSupervision(ChangedOutputs):
    supports_deep_supervision = False

    @staticmethod
    def change(outputs):
        return [outputs]


class StridesOfItsOwn(PlainConvUNet):
    def __init__(self, *args, downsampling, **kwargs):
        super().__init__(*args, strides=downsampling, **kwargs)


def plans_with(dataset, name, **lwi):
    plans = deepcopy(dataset.plans)
    configuration = plans["configurations"]["3d_fullres"]
    configuration["architecture"]["network_class_name"] = f"{__name__}.{name}"
    configuration["lwi"] |= lwi
    return plans


@pytest.mark.parametrize("name", ["PlainConvUNet", "ReadsValues"])
def test_a_network_that_both_steps_can_train_passes(dataset, name):
    tried = try_plan(plans_with(dataset, name), "3d_fullres", dataset.dataset_json)
    assert tried["slabs"] == 2 and tried["loss"] > 0


def test_step_2_is_not_computed_where_shapes_do(dataset, monkeypatch):
    built = []
    build = trial.build_network
    monkeypatch.setattr(trial, "build_network", lambda *arguments: built.append(build(*arguments)) or built[-1])
    try_plan(dataset.plans, "3d_fullres", dataset.dataset_json)
    (network,) = built
    assert all(parameter.is_meta for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "AsManyOutputsAsInputs",
            r"must be \[\[3, 8, 16, 16\], \[3, 4, 8, 8\]\] and are \[\[1, 8, 16, 16\], ",
        ),
        (
            "CoarsestFirst",
            r"full resolution first\) must be .* and are \[\[3, 4, 8, 8\], \[3, 8, 16, 16\]\]",
        ),
        ("CoarsestFirstReadingValues", r"full resolution first\) must be .* and are \[\[3, 4, 8, 8\], \[3, 8, 16, 16\]\]"),
        ("FullResolutionAlone", r"and are \[\[3, 8, 16, 16\]\]"),
        ("OtherScales", r"must be .*\[3, 2, 4, 4\]\] and are"),
        ("TooManyWeights", "it has 3 deep_supervision_weights for 2 outputs"),
        ("NoList", "gives no list of outputs .* set supports_deep_supervision = False"),
        ("ClassesInTheTrunk", r"only decoder\.seg_layers may depend on the number of classes, but .* has shape"),
    ],
)
def test_what_step_2_cannot_train_is_told(dataset, name, message):
    with pytest.raises(UserError, match=f"{name} does not fit step 2 as this plan has it: .*{message}") as error:
        try_plan(plans_with(dataset, name), "3d_fullres", dataset.dataset_json)
    assert "\n" not in error.value.message


def test_a_list_without_deep_supervision_is_told(dataset):
    plans = plans_with(dataset, "DeniesDeepSupervision", reconstruction_weight=0)
    with pytest.raises(UserError, match=r"gives a list of outputs with decoder\.deep_supervision = False"):
        try_plan(plans, "3d_fullres", dataset.dataset_json)


@pytest.mark.parametrize(("name", "shape"), [("AlwaysThreeOutputs", "3, 8, 16, 16"), ("HalfResolution", "1, 8, 16, 8")])
def test_a_reconstruction_of_another_shape_is_told(dataset, name, shape):
    """As the paper reconstructs, with one output."""
    plans = plans_with(dataset, name)
    plans["configurations"]["3d_fullres"]["lwi"]["recipe"] = "paper"
    with pytest.raises(UserError, match=rf"reconstruction has the shape \[{shape}\] and the image \[1, 8, 16, 16\]"):
        try_plan(plans, "3d_fullres", dataset.dataset_json)


def test_outputs_whose_scales_nobody_names_are_told(dataset):
    plans = plans_with(dataset, "StridesOfItsOwn")
    arch_kwargs = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    arch_kwargs["downsampling"] = arch_kwargs.pop("strides")
    with pytest.raises(UserError, match="StridesOfItsOwn names no deep_supervision_scales, and the plan's arch_kwargs no"):
        try_plan(plans, "3d_fullres", dataset.dataset_json)


def test_gpus_that_share_a_batch_hold_the_gradients_once_more_each(dataset):
    """Each has a sample of its own; the buckets come on top of what one GPU needs for a sample."""
    plans = deepcopy(dataset.plans)
    plans["configurations"]["3d_fullres"]["batch_size"] = 2
    shared = memory_of_steps(plans, "3d_fullres", dataset.dataset_json, gpus=2)
    plans["configurations"]["3d_fullres"]["batch_size"] = 1
    alone = memory_of_steps(plans, "3d_fullres", dataset.dataset_json)
    for step in ("init", "seg"):
        assert 0 < shared[step] - alone[step] < alone[step]
