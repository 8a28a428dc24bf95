"""Shuffle and mask: from a batch X to the shuffled X' and the masked, shuffled X'' (paper, section III-B).

Order and polarity, once and for all: ``order[n, f]`` is the original index of the slab that now stands at position f of
sample n; in a mask, ``True`` marks what is zeroed. Every sample has its own permutation and its own mask, and the mask is
laid over X', after the shuffle. Order and mask are drawn on the CPU; all else runs on the batch's device, without loops
over samples, slabs or cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from nnunetv2_lwi.planning.settings import MaskingSettings


class TransformedBatch(NamedTuple):
    """What step 1 makes of a batch of shape (N, C, D, H, W)."""

    masked: Tensor
    """X'', (N, C, D, H, W): what the encoder sees."""
    shuffled: Tensor
    """X', (N, C, D, H, W): what the decoder is to predict."""
    order: Tensor
    """(N, B), int64: what the order heads are to predict."""


def draw_order(samples: int, slabs: int, generator: torch.Generator) -> Tensor:
    """Draw one permutation of the slabs per sample, uniformly: argsort of noise.

    Returns:
        order (N, B), int64, on the generator's device.
    """
    return torch.rand(samples, slabs, generator=generator, device=generator.device).argsort(dim=1)


def shuffle_slabs(volume: Tensor, order: Tensor) -> Tensor:
    """Put slab ``order[n, f]`` of sample n at position f.

    Args:
        volume: (N, C, D, H, W), D a multiple of B.
        order: (N, B), a permutation of 0..B-1 in every row.

    Returns:
        (N, C, D, H, W), a new contiguous tensor.
    """
    samples, channels, *spatial = volume.shape
    slabs = order.shape[1]
    first_row = torch.arange(samples * channels, device=order.device).view(samples, channels, 1) * slabs
    rows = (first_row + order[:, None]).flatten()
    return volume.reshape(samples * channels * slabs, -1).index_select(0, rows).view(samples, channels, *spatial)


def unshuffle_slabs(shuffled: Tensor, order: Tensor) -> Tensor:
    """Undo :func:`shuffle_slabs`: the slab at position f goes back to ``order[n, f]``."""
    return shuffle_slabs(shuffled, order.argsort(dim=1))


@dataclass(frozen=True)
class MaskGrid:
    """A grid of cells laid over a patch; the last cells are cut where the edges do not divide.

    Attributes:
        patch_size: (D, H, W), what is covered.
        cell_size: edges of one cell, none longer than the patch.
    """

    patch_size: tuple[int, int, int]
    cell_size: tuple[int, int, int]

    @classmethod
    def over(cls, patch_size: tuple[int, int, int], mask_patch: tuple[int, int, int], slabs: int) -> MaskGrid:
        """The grid of cells capped by the slab's thickness in depth and by the patch in plane."""
        depth, height, width = patch_size
        caps = (depth // slabs, height, width)
        cell_depth, cell_height, cell_width = (min(edge, cap) for edge, cap in zip(mask_patch, caps, strict=True))
        return cls(patch_size, (cell_depth, cell_height, cell_width))

    @property
    def cells(self) -> tuple[int, int, int]:
        """Number of cells along D, H and W."""
        depth, height, width = (ceil(p / c) for p, c in zip(self.patch_size, self.cell_size, strict=True))
        return depth, height, width

    def over_plane(self, cell_mask: Tensor) -> Tensor:
        """Spread one value a cell, (N, cells D, cells H, cells W), over the plane: (N, cells D, H, W)."""
        _, height, width = self.patch_size
        _, cell_height, cell_width = self.cell_size
        samples, cells_d, cells_h, cells_w = cell_mask.shape
        spread = cell_mask[:, :, :, None, :, None].expand(-1, -1, -1, cell_height, -1, cell_width)
        return spread.reshape(samples, cells_d, cells_h * cell_height, cells_w * cell_width)[..., :height, :width]

    def zero(self, volume: Tensor, cell_mask: Tensor, out: Tensor | None = None) -> Tensor:
        """Zero the cells of (N, C, D, H, W) where ``cell_mask`` is True, in every channel; returns ``out``, or a new tensor.

        Written as a product with what is kept of a plane, which stands for all slices of a cell: no mask as large as the
        volume is made. Cells that the patch's end cuts in depth come last, by themselves.
        """
        keep = self.over_plane((~cell_mask).to(volume.dtype))[:, None]
        thickness = self.cell_size[0]
        whole = volume.shape[2] // thickness
        end = whole * thickness
        zeroed = torch.empty_like(volume) if out is None else out
        uncut, result = (tensor[:, :, :end].unflatten(2, (whole, thickness)) for tensor in (volume, zeroed))
        torch.mul(uncut, keep[:, :, :whole, None], out=result)
        if end < volume.shape[2]:
            torch.mul(volume[:, :, end:], keep[:, :, whole:], out=zeroed[:, :, end:])
        return zeroed


def count_masked(grid: MaskGrid, masking: MaskingSettings) -> tuple[int, int]:
    """How many cells of a sample are masked, and out of how many they are drawn; for ``tube``, columns of cells."""
    cells_d, cells_h, cells_w = grid.cells
    drawn = cells_h * cells_w * (1 if masking.strategy == "tube" else cells_d)
    return round(masking.ratio * drawn), drawn


def draw_cell_mask(samples: int, grid: MaskGrid, masking: MaskingSettings, generator: torch.Generator) -> Tensor:
    """Draw exactly round(ratio x cells) cells per sample, every set of that size being equally likely.

    ``random`` draws among all cells; ``tube`` draws among the columns, (cells H, cells W), and repeats them along depth.

    Returns:
        (N, cells D, cells H, cells W), bool, True where the volume is zeroed.
    """
    cells_d, cells_h, cells_w = grid.cells
    masked, cells = count_masked(grid, masking)
    noise = torch.rand(samples, cells, generator=generator, device=generator.device)
    chosen = noise.argsort(dim=1)[:, :masked]
    mask = torch.zeros(samples, cells, dtype=torch.bool, device=noise.device).scatter_(1, chosen, True)
    return mask.view(samples, -1, cells_h, cells_w).expand(-1, cells_d, -1, -1)


@dataclass(frozen=True)
class Transformation:
    """The paper's transformation module for patches of one size.

    Attributes:
        patch_size: (D, H, W).
        slabs: B; 1 leaves the order as it is (no order prediction).
        masking: None leaves every voxel (no reconstruction).
    """

    patch_size: tuple[int, int, int]
    slabs: int
    masking: MaskingSettings | None

    @property
    def grid(self) -> MaskGrid | None:
        """The grid of cells, if anything is masked."""
        return None if self.masking is None else MaskGrid.over(self.patch_size, self.masking.patch_size, self.slabs)

    def __call__(self, volume: Tensor, generator: torch.Generator, *, overwrite: bool = False) -> TransformedBatch:
        """Shuffle, then mask, (N, C, D, H, W), on the volume's device, wherever ``generator`` is.

        With ``overwrite`` X'' may take the place of ``volume``, which is then lost: on a CPU fresh memory costs more than
        filling it.
        """
        samples = volume.shape[0]
        order = draw_order(samples, self.slabs, generator).to(volume.device, non_blocking=volume.is_cuda)
        shuffled = shuffle_slabs(volume, order) if self.slabs > 1 else volume
        if self.masking is None or self.grid is None:
            return TransformedBatch(shuffled, shuffled, order)
        cell_mask = draw_cell_mask(samples, self.grid, self.masking, generator)
        out = volume if overwrite and shuffled is not volume else None
        masked = self.grid.zero(shuffled, cell_mask.to(volume.device, non_blocking=volume.is_cuda), out)
        return TransformedBatch(masked, shuffled, order)
