"""UNETR++ in its two published configurations, and small."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_lwi.networks import UNETRPlusPlus

LUNG = {
    "patch_size": [32, 192, 192],
    "strides": [[1, 1, 1], [1, 4, 4], [2, 2, 2], [2, 2, 2], [2, 2, 2]],
    "shared_projection": False,
    "residual_blocks": 2,
    "attention_dropout": 0.1,
}


def build_on_meta(classes, **arch_kwargs):
    with torch.device("meta"):
        return UNETRPlusPlus(input_channels=1, num_classes=classes, deep_supervision=True, **arch_kwargs)


@pytest.mark.parametrize(
    ("classes", "arch_kwargs", "count"),
    [(14, {"patch_size": [64, 128, 128]}, 42_952_850), (2, LUNG, 121_174_798)],
    ids=["synapse", "lung"],
)
def test_parameter_count(classes, arch_kwargs, count):
    network = build_on_meta(classes, **arch_kwargs)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize(
    ("arch_kwargs", "grids"),
    [
        ({"patch_size": [64, 128, 128]}, [[32, 32, 32], [16, 16, 16], [8, 8, 8], [4, 4, 4]]),
        (LUNG, [[32, 48, 48], [16, 24, 24], [8, 12, 12], [4, 6, 6]]),
    ],
    ids=["synapse", "lung"],
)
def test_grids_of_the_published_configurations(arch_kwargs, grids):
    network = build_on_meta(2, **arch_kwargs)
    x = torch.zeros(1, 1, *arch_kwargs["patch_size"], device="meta")
    _, *stages = network.encoder(x)
    assert [list(z.shape[1:]) for z in stages] == [
        [width, *grid] for width, grid in zip([32, 64, 128, 256], grids, strict=True)
    ]
    scales = network.deep_supervision_scales
    sizes = [[int(edge * s) for edge, s in zip(x.shape[2:], scale, strict=True)] for scale in scales]
    assert sizes == [list(output.shape[2:]) for output in network(x)] == [list(x.shape[2:]), *grids[:2]]


def test_three_outputs_weighted_as_published(small_unetr_pp):
    network = small_unetr_pp.build(deep_supervision=True)
    outputs = network(small_unetr_pp.batch())
    assert [list(output.shape) for output in outputs] == [
        [2, 3, 48, 32, 64],
        [2, 3, 24, 8, 16],
        [2, 3, 12, 4, 8],
    ]
    assert network.supports_deep_supervision
    assert network.deep_supervision_weights == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    sum(output.sum() for output in outputs).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("strides", [[2, 4, 4], [2, 2, 2], [2, 2, 2], [2, 2, 2]]),
        ("strides", [[2, 1, 1], [1, 4, 4], [2, 2, 2], [2, 2, 2], [2, 2, 2]]),
        ("strides", [[1, 1, 1], [4, 4], [2, 2, 2], [2, 2, 2], [2, 2, 2]]),
        ("features_per_stage", [32, 64, 128, 256]),
        ("features_per_stage", [16, 30, 64, 128, 256]),
        ("depths", [3, 3, 3]),
        ("projection_sizes", [64]),
    ],
)
def test_settings_that_do_not_fit_are_named(setting, value):
    with pytest.raises(ValueError, match=setting):
        UNETRPlusPlus(input_channels=1, num_classes=2, patch_size=[64, 128, 128], **{setting: value})
