"""batchgeneratorsv2's transforms in forms that run on a GPU and never wait for it.

They are the library's own, with the same draws in the same order: on the CPU a form gives what its original gives. What
each changes is what batchgeneratorsv2 would need to change; once it has, this module can go:

- ``SpatialTransform`` makes its grid on the CPU and finds a segmentation's labels with pandas, in buffers on the CPU;
- ``GaussianBlurTransform`` makes its kernel on the CPU, and chooses between two ways by the host's clock;
- ``ContrastTransform``, ``GammaTransform`` and ``GaussianNoiseTransform`` draw on the image's device what Python then
  decides by, which waits for the device several times a sample;
- ``ConvertSegmentationToRegionsTransform`` keeps the regions' labels on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform, blur_dimension
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
from batchgeneratorsv2.transforms.utils.nnunet_masking import MaskImageTransform
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform
from batchgeneratorsv2.transforms.utils.seg_to_regions import ConvertSegmentationToRegionsTransform
from torch import Tensor
from torch.nn.functional import grid_sample

from nnunetv2_lwi.training.loading.cut import LABELS, POINTS, CutForDevice, FewPoints
from nnunetv2_lwi.training.loading.label_free import EmptySegmentation

SCORE_OF_A_WHOLE_VOXEL = 1000
"""SpatialTransform's scale of a label's score; at this height float16 makes near ties equal, here as there."""


class NoDeviceForm(Exception):
    """A transform that is only known to run on the CPU."""


class SpatialOnDevice(FewPoints):
    """Rotation, scaling and crop without elastic deformation, as a worker drew them: sampled on the image's device."""

    def __call__(self, **data: Any) -> dict[str, Any]:
        """The patch of a sample that :class:`~nnunetv2_lwi.training.loading.cut.CutForDevice` made."""
        points, labels = data.pop(POINTS), data.pop(LABELS)
        if points is None:
            return data
        patch: dict[str, Any] = self.apply(data, grid=self._grid(points, data["image"].device), labels=labels)
        return patch

    def _grid(self, points: Tensor, device: torch.device) -> Tensor:
        """(*patch, dim), in grid_sample's coordinates, spread out from a few points."""
        centre, *ends = points
        slopes = [(end - centre) / (edge / 2) for end, edge in zip(ends, self.patch_size, strict=True)]
        *rows, shift = torch.stack([*slopes, centre]).to(device, non_blocking=True)
        return torch.matmul(self._identity(device), torch.stack(rows)) + shift

    def _identity(self, device: torch.device) -> Tensor:
        """The grid before rotation and scaling, in voxels from the centre: (*patch, dim)."""
        key = (tuple(self.patch_size), device)
        if key not in self._grid_cache:
            with device:
                self._grid_cache[key] = SpatialTransform._get_base_grid_clone(self)
            del self._grid_cache[tuple(self.patch_size)]
        identity: Tensor = self._grid_cache[key]
        return identity

    def _apply_to_segmentation(self, segmentation: Tensor, **params: Any) -> Tensor:
        """The original's label by label, over the labels that the worker found.

        The padding label takes part always, not only where the kernel may reach outside; inside it scores 0.
        """
        if self.mode_seg == "nearest":
            result: Tensor = super()._apply_to_segmentation(segmentation, **params)
            return result
        padding_mode = self._get_grid_sample_padding_mode(self.border_mode_seg)
        padding_label = self.padding_value_seg if self.border_mode_seg == "constant" else 0

        def sample(volume: Tensor, mode: str) -> Tensor:
            sampled: Tensor = grid_sample(
                volume[None], params["grid"][None], mode=mode, padding_mode=padding_mode, align_corners=self.align_corners
            )[0]
            return sampled

        labels = segmentation.float() - padding_label
        nearest = sample(labels, "nearest")
        best = torch.full_like(nearest, -torch.inf, dtype=torch.float16)
        best_label, score_of_nearest = torch.zeros_like(nearest), best
        for label in sorted({*params["labels"], int(padding_label)}):
            outside = float(label == padding_label and padding_mode == "zeros")
            indicator = (labels == label - padding_label).float().sub_(outside).mul_(SCORE_OF_A_WHOLE_VOXEL)
            score = sample(indicator, self.mode_seg).add_(outside * SCORE_OF_A_WHOLE_VOXEL).half()
            best_label = torch.where(score > best, label - padding_label, best_label)
            score_of_nearest = torch.where(nearest == label - padding_label, score, score_of_nearest)
            best = torch.maximum(score, best)
        winner = torch.where(score_of_nearest == best, nearest, best_label)
        return (winner + padding_label).to(segmentation.dtype)


class BlurOnDevice(GaussianBlurTransform):  # type: ignore[misc]
    """The kernel is made on the image's device; always by Fourier transform, the precision of which no setting lowers.

    A convolution would run in TensorFloat-32 unless cuDNN is told otherwise, for which torch has an old and a new way that
    it does not let anybody mix.
    """

    def _apply_to_image(self, img: Tensor, **params: Any) -> Tensor:
        with img.device:
            blurred: Tensor = super()._apply_to_image(img, **params)
        return blurred

    def _benchmark_wrapper(self, img: Tensor, sigma: float, dim_to_blur: int) -> Tensor:
        """In the place of the choice between two ways."""
        blurred: Tensor = blur_dimension(img, sigma, dim_to_blur, force_use_fft=True)
        return blurred


class DrawnOnHost(BasicTransform):  # type: ignore[misc]
    """Parameters are drawn on the host, as those of nnU-Net's other transforms: nothing is asked of the device."""

    def get_parameters(self, **data: Any) -> dict[str, Any]:
        """The original's, for an image of the same shape that is on the CPU and takes no memory."""
        image = data["image"]
        stand_in = torch.empty((), dtype=image.dtype).expand(image.shape)
        parameters: dict[str, Any] = super().get_parameters(**data | {"image": stand_in})
        return parameters


class ContrastOnDevice(DrawnOnHost, ContrastTransform):  # type: ignore[misc]
    """Contrast; mean and range stay on the device."""


class GammaOnDevice(DrawnOnHost, GammaTransform):  # type: ignore[misc]
    """Gamma; mean, deviation and range stay on the device."""


class NoiseOnDevice(DrawnOnHost, GaussianNoiseTransform):  # type: ignore[misc]
    """Noise is drawn by the device's generator, its variance by the host's."""

    def get_parameters(self, **data: Any) -> dict[str, Any]:
        """The original's; the channels' indices go to the device."""
        parameters = super().get_parameters(**data)
        return parameters | {"apply_idx": parameters["apply_idx"].to(data["image"].device, non_blocking=True)}


class RegionsOnDevice(ConvertSegmentationToRegionsTransform):  # type: ignore[misc]
    """The regions' labels follow the segmentation."""

    regions: list[Tensor]

    def _apply_to_segmentation(self, segmentation: Tensor, **params: Any) -> Tensor:
        self.regions = [labels.to(segmentation.device, non_blocking=True) for labels in self.regions]
        regions: Tensor = super()._apply_to_segmentation(segmentation, **params)
        return regions


AS_THEY_ARE = (
    Convert2DTo3DTransform,
    MultiplicativeBrightnessTransform,
    SimulateLowResolutionTransform,
    MirrorTransform,
    MaskImageTransform,
    RemoveLabelTransform,
    DownsampleSegForDSTransform,
    EmptySegmentation,
)
"""These follow their image's device and ask nothing of it."""

FORMS: dict[type[BasicTransform], type[BasicTransform]] = {
    ContrastTransform: ContrastOnDevice,
    GammaTransform: GammaOnDevice,
    GaussianNoiseTransform: NoiseOnDevice,
    ConvertSegmentationToRegionsTransform: RegionsOnDevice,
}


class Split(NamedTuple):
    """nnU-Net's transforms, shared out between a loader's workers and the device."""

    in_worker: ComposeTransforms
    """What comes before the spatial transform, and its draws; the sample leaves with what the device needs."""
    on_device: ComposeTransforms
    """The rest, in forms that run on whatever device an image and its segmentation are on."""


def split(transforms: ComposeTransforms) -> Split:
    """Share out what ``get_training_transforms`` returns; its transforms are left as they are.

    Raises:
        NoDeviceForm: one is not nnU-Net's own, or in a setting that nnU-Net does not use; says which.
    """
    kinds = [type(transform) for transform in transforms.transforms]
    if kinds.count(SpatialTransform) != 1:
        raise NoDeviceForm(f"there are {kinds.count(SpatialTransform)} SpatialTransforms, where nnU-Net has one")
    place = kinds.index(SpatialTransform)
    spatial = transforms.transforms[place]
    _require_what_is_known(spatial)
    before, after = transforms.transforms[:place], transforms.transforms[place + 1 :]
    in_worker = [*before, CutForDevice(_as(FewPoints, spatial, _grid_cache={}))]
    on_device = [_as(SpatialOnDevice, spatial, _grid_cache={}), *map(_form_of, after)]
    return Split(ComposeTransforms(in_worker), ComposeTransforms(on_device))


def _form_of(transform: BasicTransform) -> BasicTransform:
    kind = type(transform)
    if kind is RandomTransform:
        return RandomTransform(_form_of(transform.transform), transform.apply_probability)
    if kind is GaussianBlurTransform:
        return _as(BlurOnDevice, transform, benchmark=True)
    if kind in AS_THEY_ARE:
        return transform
    if kind in FORMS:
        return _as(FORMS[kind], transform)
    raise NoDeviceForm(f"{kind.__name__} is only known to run on the CPU")


def _require_what_is_known(spatial: SpatialTransform) -> None:
    if spatial.p_elastic_deform > 0:
        raise NoDeviceForm("SpatialTransform with elastic deformation is only known to run on the CPU")
    if spatial.seg_tiebreak != "nearest":
        raise NoDeviceForm(f"SpatialTransform with seg_tiebreak={spatial.seg_tiebreak!r} is only known to run on the CPU")
    if spatial.align_corners:
        raise NoDeviceForm("SpatialTransform with align_corners is only known to run on the CPU")


def _as(form: Callable[..., BasicTransform], transform: BasicTransform, **changed: Any) -> Any:
    """A transform's settings in another class."""
    recast = copy(transform)
    recast.__class__ = form
    vars(recast).update(changed)
    return recast
