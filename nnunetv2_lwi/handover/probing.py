"""A linear probe of every stage: what step 1 learned for a segmentation, beside a random start, on labelled cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
from torch import Tensor, nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.step1 import Step1
from nnunetv2_lwi.handover.transfer import overwrite
from nnunetv2_lwi.method.feature_rank import FeatureMoments
from nnunetv2_lwi.method.linear_probe import Readout, at_size_of, draw_voxels, fit
from nnunetv2_lwi.networks.build import build_network
from nnunetv2_lwi.networks.volumes import features_by_stage
from nnunetv2_lwi.nnunet.patches import batches, tile
from nnunetv2_lwi.planning.configuration import count_channels, label_manager, resolve_configuration

MOST_VOXELS = 2000
"""Drawn of a class in one batch of patches."""
SEED = 0
STEP1, STEP2, RANDOM = "step 1", "start of step 2", "random"
"""As step 1 left the network; as its checkpoint starts step 2, parts that are not handed over as drawn; as drawn."""

Case = tuple[Tensor, Tensor]
"""Image (C, D, H, W) and labels (1, D, H, W)."""
OpenCase = Callable[[str], nnUNetBaseDataset]


@dataclass(frozen=True)
class Probed:
    """What a probe found of one stage.

    Attributes:
        channels: E, the most that a rank can be.
        dice: of each class by start, over all voxels of the test cases; NaN where a class is in neither.
        rank: effective rank of the features by start.
    """

    stage: str
    channels: int
    dice: dict[str, dict[int, float]]
    rank: dict[str, float]


def probe_step1(
    step1: Step1,
    plans: dict[str, Any],
    configuration: str,
    dataset_json: dict[str, Any],
    open_case: OpenCase,
    fitted: Sequence[str],
    tested: Sequence[str],
) -> list[Probed]:
    """Fit a readout of every stage on some cases and test it on others, for step 1's weights and for random ones.

    What step 2 starts from is a start of its own where it is not all that step 1 trained.

    Args:
        open_case: a data set that holds the case, preprocessed.
        fitted: cases to fit on, labelled.
        tested: others.

    Raises:
        UserError: there are no cases, or none has a label.
    """
    if not fitted or not tested:
        raise UserError("A probe needs labelled cases to fit on and others to test on: give it a fold with some.")
    resolved = resolve_configuration(plans, configuration)
    channels = count_channels(plans, resolved, dataset_json)
    classes = [label for label in label_manager(plans, dataset_json).all_labels if label != 0]
    found: dict[str, dict[str, _Outcome]] = {}
    starts = {STEP1: step1.trained, STEP2: step1.weights if step1.kept_back else None, RANDOM: {}}
    for start, weights in starts.items():
        if weights is None:
            continue
        torch.manual_seed(SEED)
        network = build_network(resolved, channels, channels).eval()
        overwrite(network, weights)
        probe = _Probe(network, resolved.patch_size, resolved.batch_size, classes)
        readouts = probe.fit(_read(open_case, case) for case in fitted)
        found[start] = probe.test((_read(open_case, case) for case in tested), readouts)
    return [
        Probed(
            stage,
            outcome.moments.channels,
            {start: outcomes[stage].dice(classes) for start, outcomes in found.items()},
            {start: outcomes[stage].moments.effective_rank() for start, outcomes in found.items()},
        )
        for stage, outcome in found[STEP1].items()
    ]


def _read(open_case: OpenCase, case: str) -> Case:
    image, segmentation, *_ = open_case(case).load_case(case)
    return torch.from_numpy(np.array(image[:], np.float32)), torch.from_numpy(np.array(segmentation[:], np.int64))


@dataclass
class _Outcome:
    """Of one stage: features' moments, and per class twice the hits and the sizes of prediction and truth."""

    hits: Tensor
    sizes: Tensor
    moments: FeatureMoments

    def __add__(self, other: _Outcome) -> _Outcome:
        return _Outcome(self.hits + other.hits, self.sizes + other.sizes, self.moments + other.moments)

    def dice(self, classes: Sequence[int]) -> dict[int, float]:
        return dict(zip(classes, (self.hits / self.sizes).tolist(), strict=True))


@dataclass(frozen=True)
class _Probe:
    network: nn.Module
    patch_size: Sequence[int]
    batch_size: int
    classes: Sequence[int]

    def fit(self, cases: Iterable[Case]) -> dict[str, Readout]:
        generator = torch.Generator().manual_seed(SEED)
        drawn: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
        for image, labels in cases:
            for stage, features, truth in self._stages(image, labels):
                places = draw_voxels(truth, self.classes, MOST_VOXELS, generator)
                columns = drawn.setdefault(stage, ([], []))
                columns[0].append(features[places])
                columns[1].append(truth[places])
        return {stage: fit(torch.cat(x), torch.cat(y), self.classes) for stage, (x, y) in drawn.items()}

    def test(self, cases: Iterable[Case], readouts: dict[str, Readout]) -> dict[str, _Outcome]:
        found: dict[str, _Outcome] = {}
        for image, labels in cases:
            for stage, features, truth in self._stages(image, labels):
                predicted = readouts[stage](features)
                pairs = [(predicted == label, truth == label) for label in self.classes]
                hits = torch.tensor([2.0 * (here & there).sum() for here, there in pairs])
                sizes = torch.tensor([float(here.sum() + there.sum()) for here, there in pairs])
                outcome = _Outcome(hits, sizes, FeatureMoments.of(features.T[None]))
                found[stage] = found[stage] + outcome if stage in found else outcome
        return found

    def _stages(self, image: Tensor, labels: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Of every stage its features (V, E) and labels (V,), batch by batch; outside the nonzero mask is background."""
        patches = zip(
            batches(tile(image, self.patch_size), self.batch_size),
            batches(tile(labels.clamp(min=0), self.patch_size), self.batch_size),
            strict=True,
        )
        for volume, truth in patches:
            for stage, features in features_by_stage(self.network, volume).items():
                yield stage, features.movedim(1, -1).flatten(0, -2), at_size_of(truth, features).flatten()
