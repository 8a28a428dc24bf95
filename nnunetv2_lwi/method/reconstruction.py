"""How far a reconstruction is from the shuffled volume X', at one resolution or at every one that the network gives."""

from __future__ import annotations

from collections.abc import Sequence

from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from torch import Tensor
from torch.nn import functional

from nnunetv2_lwi.errors import UserError


def reconstruction_loss(reconstructions: Sequence[Tensor], shuffled: Tensor) -> Tensor:
    """Mean squared error to X' over all voxels, masked or not (paper, section III-C, eq. 8).

    At a lower resolution X' is averaged to the size of what is compared with it. Resolutions are averaged, each with half
    the weight of the one above it, as nnU-Net weighs its outputs.

    Args:
        reconstructions: (N, C, D_i, H_i, W_i), the first at full resolution.
        shuffled: (N, C, D, H, W).

    Raises:
        UserError: the first has not the shape of X', over which torch would spread it where it allows that.
    """
    require_shape_of_image(reconstructions[0], shuffled)
    halves = [0.5**level for level in range(len(reconstructions))]
    over_resolutions = DeepSupervisionWrapper(functional.mse_loss, [half / sum(halves) for half in halves])
    targets = [averaged_to(shuffled, one.shape[2:]) for one in reconstructions]
    loss: Tensor = over_resolutions([one.float() for one in reconstructions], targets)
    return loss


def averaged_to(volume: Tensor, size: Sequence[int]) -> Tensor:
    """(N, C, D, H, W) to (N, C, *size), each voxel the mean of those that it covers."""
    if volume.shape[2:] == tuple(size):
        return volume
    edges = list(zip(volume.shape[2:], size, strict=True))
    if all(ours % theirs == 0 for ours, theirs in edges):  # on MPS, torch has no other way for volumes
        return functional.avg_pool3d(volume, [ours // theirs for ours, theirs in edges])
    return functional.interpolate(volume, tuple(size), mode="area")


def require_shape_of_image(reconstruction: Tensor, image: Tensor) -> None:
    """Raises:
    UserError: the shapes differ.
    """
    if reconstruction.shape != image.shape:
        raise UserError(
            f"The network's reconstruction has the shape {list(reconstruction.shape[1:])} and the image "
            f"{list(image.shape[1:])}: a network must give num_classes channels at full resolution."
        )
