"""Step 1's validation on whole cases: how well it reconstructs and orders patches, as figures and as pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
from torch import Tensor, nn
from torch import distributed as dist

from nnunetv2_lwi.disk import write_json
from nnunetv2_lwi.method.feature_rank import FeatureMoments, add_levels
from nnunetv2_lwi.method.loss import PretextLoss
from nnunetv2_lwi.method.pretext_network import PretextOutput
from nnunetv2_lwi.method.reconstruction import averaged_to, reconstruction_loss
from nnunetv2_lwi.method.transformation import Transformation, TransformedBatch
from nnunetv2_lwi.nnunet.patches import batches, tile
from nnunetv2_lwi.training.loading.checked_voxels import is_finite, not_finite
from nnunetv2_lwi.training.machine.distributed import is_distributed
from nnunetv2_lwi.training.machine.randomness import make_generator
from nnunetv2_lwi.training.monitoring.pictures import PretextExample, draw_pretext_example

CASES_WITH_PICTURE = 4
CASES_BETWEEN_BARRIERS = 20
"""As in nnU-Net: ranks that wait for others at the very end only, wait for longer than NCCL allows."""
SEED = 0
"""Every case is shuffled and masked in the same way at every validation, so that figures and pictures compare."""


@dataclass(frozen=True)
class PretextEvaluator:
    """Step 1's network, its encoder, and the loss, without gradients."""

    network: nn.Module
    encoder: nn.Module
    transformation: Transformation
    loss: PretextLoss
    device: torch.device
    autocast: Callable[[], AbstractContextManager[Any]]

    @torch.no_grad()
    def __call__(self, batch: TransformedBatch) -> tuple[PretextOutput, dict[str, Tensor]]:
        """Output, and the loss and its parts, on a transformed batch."""
        with self.autocast():
            output = self.network(batch.masked)
            return output, self.loss(output, batch)

    def on_case(self, image: Tensor, batch_size: int) -> dict[str, float]:
        """Average the loss and its parts over patches that cover an image (C, D, H, W)."""
        generator = make_generator(SEED)
        sums: dict[str, float] = {}
        patches = tile(image, self.transformation.patch_size)
        for chunk in batches(patches, batch_size):
            batch = self.transformation(chunk.to(self.device), generator, overwrite=True)
            output, losses = self(batch)
            if output.reconstruction is not None:
                handed_through = [
                    averaged_to(batch.masked, one.shape[2:]) for one in (output.reconstruction, *output.coarse)
                ]
                losses["reconstruction_loss_of_input"] = reconstruction_loss(handed_through, batch.shuffled)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.item() * len(chunk)
        return {name: value / len(patches) for name, value in sums.items()}

    @torch.no_grad()
    def features_of_case(self, image: Tensor, batch_size: int) -> list[FeatureMoments]:
        """Of what the encoder hands to the decoder for an image (C, D, H, W) as step 2 sees it: not shuffled, not masked."""
        parts = []
        for chunk in batches(tile(image, self.transformation.patch_size), batch_size):
            with self.autocast():
                parts.append([FeatureMoments.of(level) for level in self.encoder(chunk.to(self.device))])
        return add_levels(parts)

    def example(self, image: Tensor, spacing: Sequence[float]) -> PretextExample:
        """The patch in the middle of an image (C, D, H, W), for a picture of its first channel."""
        patches = tile(image, self.transformation.patch_size)
        original = patches[len(patches) // 2][None].to(self.device)
        batch = self.transformation(original, make_generator(SEED))
        output, _ = self(batch)
        depth, height, width = (float(edge) for edge in spacing)
        has_order = bool(output.order_logits)
        return PretextExample(
            original=_first_channel(original),
            shuffled=_first_channel(batch.shuffled),
            masked=_first_channel(batch.masked),
            reconstruction=None if output.reconstruction is None else _first_channel(output.reconstruction),
            order=batch.order[0].cpu().numpy(),
            order_probabilities=output.order_logits[-1][0].float().softmax(-1).cpu().numpy() if has_order else None,
            order_level=self.loss.level_indices[-1] if has_order else None,
            spacing=(depth, height, width),
        )


def validate_cases(
    evaluate: PretextEvaluator,
    open_case: Callable[[str], nnUNetBaseDataset],
    cases: Sequence[str],
    folder: Path,
    *,
    spacing: Sequence[float],
    batch_size: int,
    chance: float,
) -> dict[str, Any]:
    """Evaluate every case, write pictures of the first few and ``summary.json``, and return the summary.

    In a distributed training each rank takes its share of the cases, and the first writes the summary.
    """
    ranked = is_distributed()
    rank, world_size = (dist.get_rank(), dist.get_world_size()) if ranked else (0, 1)
    folder.mkdir(parents=True, exist_ok=True)
    mine: dict[str, dict[str, float]] = {}
    features: list[FeatureMoments] = []
    shared_turns = len(cases) // world_size
    for turn, number in enumerate(range(rank, len(cases), world_size)):
        if ranked and 0 < turn < shared_turns and turn % CASES_BETWEEN_BARRIERS == 0:
            dist.barrier()
        case = cases[number]
        image = load_image(open_case(case), case)
        mine[case] = evaluate.on_case(image, batch_size)
        features = add_levels(filter(None, (features, evaluate.features_of_case(image, batch_size))))
        if number < CASES_WITH_PICTURE:
            draw_pretext_example(evaluate.example(image, spacing), folder / f"{case}.png", f"{case}, after step 1")
    gathered: list[Any] = [(mine, features)]
    if ranked:
        gathered = [None] * world_size
        dist.all_gather_object(gathered, (mine, features))
    per_case = {case: figures for part, _ in gathered for case, figures in part.items()}
    summary = summarize(per_case, add_levels(part for _, part in gathered if part), evaluate, chance)
    if rank == 0:
        write_json(folder / "summary.json", summary)
    return summary


def summarize(
    per_case: Mapping[str, Mapping[str, float]],
    features: Sequence[FeatureMoments],
    evaluate: PretextEvaluator,
    chance: float,
) -> dict[str, Any]:
    """Means over cases, what the features span over all of them, and the cases."""
    names = list(next(iter(per_case.values()), {}))
    return {
        "mean": {name: float(np.mean([figures[name] for figures in per_case.values()])) for name in names},
        "chance_order_accuracy": chance if evaluate.loss.order_weight > 0 else None,
        "num_subvolumes": evaluate.transformation.slabs,
        "features": [{"effective_rank": level.effective_rank(), "channels": level.channels} for level in features],
        "metric_per_case": [{"case": case, **per_case[case]} for case in sorted(per_case)],
    }


def write_progress_picture(
    evaluate: PretextEvaluator, dataset: nnUNetBaseDataset, path: Path, spacing: Sequence[float]
) -> None:
    """Draw the first case of a data set: the same patch, order and mask at every call."""
    for case in dataset.identifiers[:1]:
        example = evaluate.example(load_image(dataset, case), spacing)
        draw_pretext_example(example, path, f"{case}, {path.stem.replace('_', ' ')}")


def load_image(dataset: nnUNetBaseDataset, case: str) -> Tensor:
    """The preprocessed image (C, D, H, W) of a case.

    Raises:
        UserError: it has NaN or infinite voxels.
    """
    voxels = np.array(dataset.load_case(case)[0][:], dtype=np.float32)
    if not is_finite(voxels):
        raise not_finite(case)
    return torch.from_numpy(voxels)


def _first_channel(volume: Tensor) -> Any:
    return volume[0, 0].float().cpu().numpy()
