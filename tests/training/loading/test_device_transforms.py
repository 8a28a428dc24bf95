"""nnU-Net's transforms in their device forms: the same results on the CPU; on a GPU nothing is elsewhere or waited for."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.inversion import InvertImageTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from scipy.ndimage import gaussian_filter
from torch import Tensor

from nnunetv2_lwi.training.loading.augmentation import without_benchmarks
from nnunetv2_lwi.training.loading.device_transforms import NoDeviceForm, split
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from tests.pretended_cuda import CUDA, PretendedCuda

PATCH = (24, 28, 20)
LABELS = [-1, 0, 1, 2, 3]
MOST_DIFFERENT = 1e-4
LEAST_AGREEMENT = 0.999
DATA_SETS: dict[str, dict[str, Any]] = {
    "labels": {},
    "regions": {"regions": [(1, 2), (2,)]},
    "regions and ignore label": {"regions": [(1, 2), (2,)], "ignore_label": 3},
    "mask for normalisation": {"use_mask_for_norm": [True, False]},
}


def training_transforms(patch: tuple[int, ...] = PATCH, dummy_2d: bool = False, trainer: type = nnUNetTrainer, **data: Any):
    """nnU-Net's, every one of them applied, and with rotation and scaling every time."""
    make = without_benchmarks(trainer.get_training_transforms)
    transforms = make(patch, (-0.6, 0.6), [[1, 1, 1], [0.5, 0.5, 0.5]], (0, 1, 2), dummy_2d, **data)
    for transform in transforms.transforms:
        if isinstance(transform, RandomTransform):
            transform.apply_probability = 0.9
        if isinstance(transform, SpatialTransform):
            transform.p_rotation = transform.p_scaling = 0.8
    return transforms


def draw_segmentation(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Blobs of all the labels, three of which often meet."""
    field = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2)
    edges = np.quantile(field, [0.2, 0.4, 0.6, 0.8])
    labels = np.random.default_rng(seed).permutation(len(LABELS))[np.digitize(field, edges)] - 1
    return torch.from_numpy(labels.astype(np.int16))[None]


def make_sample(patch: tuple[int, ...] = PATCH, channels: int = 2, dummy_2d: bool = False) -> dict[str, Tensor]:
    """An image (C, D, H, W) and its segmentation, larger than the patch where rotation needs it."""
    depth, *plane = patch
    shape = (depth if dummy_2d else depth + 6, *(edge + 6 for edge in plane))
    image = torch.randn(channels, *shape, generator=torch.Generator().manual_seed(1))
    return {"image": image, "segmentation": draw_segmentation(shape)}


def shared_out(transforms: ComposeTransforms) -> BasicTransform:
    """Both parts, one after the other."""
    shared = split(transforms)
    return ComposeTransforms([*shared.in_worker.transforms, *shared.on_device.transforms])


def apply(transform: BasicTransform, sample: dict[str, Any], seed: int) -> dict[str, Any]:
    """On a copy, with draws that belong to the seed."""
    np.random.seed(seed)
    torch.manual_seed(seed)
    return transform(**deepcopy(sample))


def assert_equal(form: dict[str, Any], original: dict[str, Any], masked: bool = False) -> None:
    """Images to 1e-4; segmentations, at every scale, in 99.9 % of the voxels, and so the image where they mask it."""
    assert form["image"].shape == original["image"].shape and form["image"].dtype == original["image"].dtype
    close = (form["image"] - original["image"]).abs() < MOST_DIFFERENT
    assert close.float().mean() > LEAST_AGREEMENT if masked else close.all()
    pairs = [form["segmentation"], original["segmentation"]]
    for ours, theirs in zip(*(pair if isinstance(pair, list) else [pair] for pair in pairs), strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        assert (ours == theirs).float().mean() > LEAST_AGREEMENT


@pytest.mark.parametrize("dummy_2d", [False, True])
@pytest.mark.parametrize("data", DATA_SETS.values(), ids=DATA_SETS.keys())
def test_for_equal_draws_the_whole_of_it_gives_what_nnunet_gives(data, dummy_2d):
    original = training_transforms(dummy_2d=dummy_2d, **data)
    form = shared_out(deepcopy(original))
    sample = make_sample(dummy_2d=dummy_2d)
    results = [[apply(transforms, sample, seed) for seed in range(8)] for transforms in (form, original)]
    for ours, theirs in zip(*results, strict=True):
        assert_equal(ours, theirs, "use_mask_for_norm" in data)
    images = [result["image"] for result in results[1]]
    assert not any(torch.equal(images[0], image) for image in images[1:])


STILL = SpatialTransform(PATCH, 0, False)
"""Only crops: a form of the spatial transform has its place before the others."""
NAMED = training_transforms(regions=[(1, 2), (2,)], use_mask_for_norm=[True, False]).transforms


@pytest.mark.parametrize("original", NAMED, ids=lambda t: type(getattr(t, "transform", t)).__name__)
def test_transform_by_transform_a_form_gives_what_its_original_gives(original):
    spatial = [] if isinstance(original, SpatialTransform) else [STILL]
    form = shared_out(ComposeTransforms([*spatial, original]))
    original = ComposeTransforms([*spatial, original])
    sample = make_sample()
    if spatial:
        sample = {key: STILL(**sample)[key] for key in sample}
    changed = False
    for seed in range(6):
        ours, theirs = apply(form, sample, seed), apply(original, sample, seed)
        assert_equal(ours, theirs)
        changed |= any(not isinstance(theirs[k], Tensor) or not torch.equal(theirs[k], sample[k]) for k in sample)
    assert changed


@settings(max_examples=25, deadline=None)
@given(
    patch=st.tuples(*[st.integers(6, 20)] * 3),
    channels=st.integers(1, 3),
    dummy_2d=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
)
def test_so_it_does_for_any_patch_and_any_draw(patch, channels, dummy_2d, seed):
    original = training_transforms(patch, dummy_2d, use_mask_for_norm=[True] + [False] * (channels - 1))
    sample = make_sample(patch, channels, dummy_2d)
    assert_equal(apply(shared_out(original), sample, seed), apply(original, sample, seed), masked=True)


def test_outside_the_image_is_the_padding_label_and_ties_go_to_the_nearest():
    spatial = SpatialTransform(
        PATCH, 0, False, p_rotation=1, rotation=(0.7, 0.8), border_mode_seg="constant", padding_value_seg=-1
    )
    form = shared_out(ComposeTransforms([spatial]))
    halves = torch.ones(1, *PATCH, dtype=torch.int16)
    halves[:, : PATCH[0] // 2] = 0
    ours, theirs = (apply(t, {"image": halves.float(), "segmentation": halves}, 0) for t in (form, spatial))
    assert torch.equal(ours["segmentation"], theirs["segmentation"])
    assert set(ours["segmentation"].unique().tolist()) == {-1, 0, 1}


def test_where_the_nearest_label_lost_a_tie_goes_to_the_lowest():
    """At every other voxel of random labels many points lie amid several of them."""
    spatial = SpatialTransform((8, 8, 8), 0, False, p_scaling=1, scaling=(2.0, 2.0), p_synchronize_scaling_across_axes=1)
    form = shared_out(ComposeTransforms([spatial]))
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (1, 16, 16, 16), generator=generator, dtype=torch.int16)
    ours, theirs = (apply(t, {"image": labels.float(), "segmentation": labels}, 0)["segmentation"] for t in (form, spatial))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("border", ["border", "zeros"])
def test_other_borders_of_a_segmentation_are_kept(border):
    spatial = SpatialTransform(PATCH, 0, False, p_rotation=1, rotation=(0.7, 0.8), border_mode_seg=border)
    form = shared_out(ComposeTransforms([spatial]))
    assert_equal(*(apply(transform, make_sample(), 0) for transform in (form, spatial)))


def pretended_sample(dummy_2d: bool) -> dict[str, Any]:
    return on_gpu(make_sample(dummy_2d=dummy_2d))


def on_gpu(sample: dict[str, Any]) -> dict[str, Any]:
    moved = {key: sample[key].to(CUDA, non_blocking=True) for key in ("image", "segmentation") if key in sample}
    return sample | moved


@pytest.mark.parametrize("dummy_2d", [False, True])
@pytest.mark.parametrize(
    ("trainer", "data"),
    [*((nnUNetTrainer, data) for data in DATA_SETS.values()), (nnUNetTrainerLWIInit, {"use_mask_for_norm": [True, True]})],
    ids=[*DATA_SETS.keys(), "step 1"],
)
def test_on_a_gpu_nothing_is_on_the_cpu_and_nothing_is_waited_for(trainer, data, dummy_2d):
    shared = split(training_transforms(dummy_2d=dummy_2d, trainer=trainer, **data))
    with PretendedCuda():
        for seed in range(4):
            np.random.seed(seed)
            torch.manual_seed(seed)
            result = shared.on_device(**on_gpu(shared.in_worker(**make_sample(dummy_2d=dummy_2d))))
            assert {tensor.device for tensor in [result["image"], *result["segmentation"]]} == {CUDA}
            assert result["image"].shape == (2, *PATCH)


@pytest.mark.parametrize("name", ["Spatial", "GaussianNoise", "GaussianBlur", "Contrast", "Gamma", "ConvertSegmentation"])
def test_the_originals_cannot_do_that(name):
    """Once one of them can, its form may go."""
    transforms = training_transforms(**DATA_SETS["regions"]).transforms
    inner = [transform.transform if isinstance(transform, RandomTransform) else transform for transform in transforms]
    original = next(transform for transform in inner if type(transform).__name__.startswith(name))
    np.random.seed(0)
    torch.manual_seed(0)
    with PretendedCuda():
        sample = pretended_sample(dummy_2d=False)
        with pytest.raises(Exception, match=r"same device|weight is on cpu|nonzero"):
            original(**sample)


def test_what_has_no_device_form_is_named():
    for transforms, reason in [
        ([STILL, InvertImageTransform(0.5, 0.5, 0.5)], "InvertImageTransform"),
        ([STILL, RandomTransform(InvertImageTransform(0.5, 0.5, 0.5))], "InvertImageTransform"),
        ([SpatialTransform(PATCH, 0, False, p_elastic_deform=0.1)], "elastic"),
        ([SpatialTransform(PATCH, 0, False, seg_tiebreak="lowest")], "seg_tiebreak='lowest'"),
        ([SpatialTransform(PATCH, 0, False, align_corners=True)], "align_corners"),
        ([STILL, STILL], "there are 2 SpatialTransforms"),
        ([InvertImageTransform(0.5, 0.5, 0.5)], "there are 0 SpatialTransforms"),
    ]:
        with pytest.raises(NoDeviceForm, match=reason):
            split(ComposeTransforms(transforms))


def test_what_comes_before_the_spatial_transform_stays_in_the_worker():
    """There any transform may be."""
    inverting = ComposeTransforms([InvertImageTransform(1.0, 1.0, 1.0), *training_transforms().transforms])
    sample = make_sample()
    assert_equal(apply(shared_out(inverting), sample, 1), apply(inverting, sample, 1))


def test_the_originals_are_left_as_they_were():
    original = training_transforms()
    types = [type(transform) for transform in original.transforms]
    spatial = dict(vars(original.transforms[0]))
    split(original)
    assert [type(transform) for transform in original.transforms] == types and vars(original.transforms[0]) == spatial
