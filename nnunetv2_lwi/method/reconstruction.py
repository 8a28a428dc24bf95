"""What the decoder is to reconstruct of the shuffled volume X', at which voxels and at which resolutions.

The paper's is the mean squared error over all voxels of X' (section III-C, eq. 8). Masked autoencoders count what was hidden
only, and give every cell zero mean and unit variance (He et al., arXiv 2111.06377, section 3 and table 1d).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.method.transformation import CellMask, MaskGrid, TransformedBatch

EPSILON = 1e-2
"""Least standard deviation of a cell, in the units of the preprocessed image: a cell of one value is not blown up."""


@dataclass(frozen=True)
class ReconstructionLoss:
    """Mean squared error to X', or to what is asked of it.

    Attributes:
        hidden_only: only masked cells count, where any cell is masked.
        normalize_cells: the target has zero mean and unit variance in every cell and channel.
    """

    hidden_only: bool = False
    normalize_cells: bool = False

    def __call__(self, reconstructions: Sequence[Tensor], batch: TransformedBatch) -> Tensor:
        """Weighted mean over resolutions, each with half the weight of the one before, as in nnU-Net.

        Args:
            reconstructions: (N, C, D_i, H_i, W_i), the first at full resolution.

        Raises:
            UserError: the first has not the shape of X', over which torch would spread it where it allows that.
        """
        target = self.target(batch)
        require_shape_of_image(reconstructions[0], target)
        losses = [self._at_one_resolution(reconstruction.float(), target, batch.mask) for reconstruction in reconstructions]
        weights = torch.tensor([0.5**level for level in range(len(losses))], device=target.device)
        return (weights * torch.stack(losses)).sum() / weights.sum()

    def target(self, batch: TransformedBatch) -> Tensor:
        """(N, C, D, H, W)."""
        if not self.normalize_cells or batch.mask is None:
            return batch.shuffled
        return normalize_cells(batch.shuffled, batch.mask.grid)

    def as_image(self, reconstruction: Tensor, batch: TransformedBatch) -> Tensor:
        """A reconstruction (N, C, D, H, W) in the image's own units, for people; where no error counts, the image itself."""
        image, mask = reconstruction.float(), batch.mask
        if mask is None:
            return image
        if self.normalize_cells:
            mean, deviation = cell_moments(batch.shuffled, mask.grid)
            image = image * mask.grid.spread(deviation) + mask.grid.spread(mean)
        return torch.where(mask.at_size(image.shape[2:]) > 0, image, batch.shuffled) if self.hidden_only else image

    def _at_one_resolution(self, reconstruction: Tensor, target: Tensor, mask: CellMask | None) -> Tensor:
        size = reconstruction.shape[2:]
        if size != target.shape[2:]:
            target = functional.interpolate(target, tuple(size), mode="area")
        if mask is None or not self.hidden_only:
            return functional.mse_loss(reconstruction, target)
        hidden = mask.at_size(size)
        squared = (reconstruction - target).square() * hidden
        return squared.sum() / (hidden.sum() * target.shape[1]).clamp(min=1)


def require_shape_of_image(reconstruction: Tensor, image: Tensor) -> None:
    """Raises:
    UserError: the shapes differ.
    """
    if reconstruction.shape != image.shape:
        raise UserError(
            f"The network's reconstruction has the shape {list(reconstruction.shape[1:])} and the image "
            f"{list(image.shape[1:])}: a network must give num_classes channels at full resolution."
        )


def normalize_cells(volume: Tensor, grid: MaskGrid) -> Tensor:
    """(N, C, D, H, W) with zero mean and unit variance in every cell and channel; cells that the end cuts are smaller."""
    mean, deviation = cell_moments(volume, grid)
    return (volume - grid.spread(mean)) / grid.spread(deviation)


def cell_moments(volume: Tensor, grid: MaskGrid) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every cell, each (N, C, cells D, cells H, cells W)."""

    def mean_of_cells(values: Tensor) -> Tensor:
        return functional.avg_pool3d(values, grid.cell_size, ceil_mode=True, count_include_pad=False)

    mean = mean_of_cells(volume)
    variance = mean_of_cells((volume - grid.spread(mean)).square())
    return mean, variance.sqrt().clamp(min=EPSILON)
