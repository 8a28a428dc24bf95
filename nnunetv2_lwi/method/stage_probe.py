"""A linear probe of every stage of a network: readouts fitted to frozen features of some cases, tested on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from math import isnan, nan
from statistics import fmean

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
from torch import Tensor, nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.method.feature_rank import FeatureMoments
from nnunetv2_lwi.method.linear_probe import Readout, at_size_of, draw_voxels, fit
from nnunetv2_lwi.networks.volumes import features_by_stage
from nnunetv2_lwi.nnunet.patches import batches, tile

MOST_VOXELS = 2000
"""Drawn of a class in one batch of patches."""
MOST_PATCHES = 24
"""Of one case, spread evenly over it."""
SEED = 0

Case = tuple[Tensor, Tensor]
"""Image (C, D, H, W) and labels (1, D, H, W)."""
OpenCase = Callable[[str], nnUNetBaseDataset]
"""A data set that holds the case, preprocessed."""


@dataclass
class StageOutcome:
    """What was found of one stage.

    Attributes:
        hits: by class, twice the voxels of the test cases that were named right.
        sizes: by class, of prediction and truth together.
        moments: of the features.
        area: under the ROC curve of each class, on voxels drawn as for the fit.
    """

    hits: Tensor
    sizes: Tensor
    moments: FeatureMoments
    area: dict[int, float] = field(default_factory=dict)

    def __add__(self, other: StageOutcome) -> StageOutcome:
        return StageOutcome(self.hits + other.hits, self.sizes + other.sizes, self.moments + other.moments)

    @property
    def mean_area(self) -> float:
        """Over the classes that the test cases have; NaN without any."""
        defined = [area for area in self.area.values() if not isnan(area)]
        return fmean(defined) if defined else nan

    def dice(self, classes: Sequence[int]) -> dict[int, float]:
        """By class; NaN where it is in neither."""
        return dict(zip(classes, (self.hits / self.sizes).tolist(), strict=True))


@dataclass(frozen=True)
class StageProbe:
    """The cases and classes of a probe, for any network of one patch.

    Attributes:
        classes: labels other than 0.
        fitted: cases to fit on, labelled.
        tested: others.
    """

    patch_size: Sequence[int]
    batch_size: int
    classes: Sequence[int]
    open_case: OpenCase
    fitted: Sequence[str]
    tested: Sequence[str]

    def __post_init__(self) -> None:
        """Raises:
        UserError: there are no cases.
        """
        if not self.fitted or not self.tested:
            raise UserError("A probe needs labelled cases to fit on and others to test on: give it a fold with some.")

    def __call__(
        self,
        network: nn.Module,
        device: torch.device = torch.device("cpu"),  # noqa: B008
        autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> dict[str, StageOutcome]:
        """By stage, of a network with encoder and decoder on a device; it is neither trained nor changed.

        The readouts are fitted on the CPU.
        """
        trained = network.training
        network.eval()
        try:
            features = _Features(self, network, device, autocast)
            drawn = features.drawn_from(self.fitted)
            readouts = {stage: fit(x, labels, self.classes) for stage, x, labels in drawn.by_stage()}
            return features.tested_with(readouts)
        finally:
            network.train(trained)


class _Drawn:
    """Features and labels of some voxels of every class and of the background, by stage."""

    def __init__(self, classes: Sequence[int]) -> None:
        self.classes = classes
        self.generator = torch.Generator().manual_seed(SEED)
        self.batches: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def add(self, stage: str, features: Tensor, labels: Tensor) -> None:
        """Draw from features (V, E) and labels (V,)."""
        places = draw_voxels(labels, self.classes, MOST_VOXELS, self.generator)
        self.batches.setdefault(stage, []).append((features[places], labels[places]))

    def by_stage(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Of every stage all that was drawn, (V, E) and (V,)."""
        for stage, drawn in self.batches.items():
            yield stage, torch.cat([features for features, _ in drawn]), torch.cat([labels for _, labels in drawn])


@dataclass(frozen=True)
class _Features:
    """Of a network, on the cases of a probe."""

    probe: StageProbe
    network: nn.Module
    device: torch.device
    autocast: Callable[[], AbstractContextManager[object]]

    def drawn_from(self, cases: Iterable[str]) -> _Drawn:
        drawn = _Drawn(self.probe.classes)
        for stage, features, labels in self._by_stage(cases):
            drawn.add(stage, features, labels)
        return drawn

    def tested_with(self, readouts: dict[str, Readout]) -> dict[str, StageOutcome]:
        found: dict[str, StageOutcome] = {}
        drawn = _Drawn(self.probe.classes)
        for stage, features, labels in self._by_stage(self.probe.tested):
            drawn.add(stage, features, labels)
            predicted = readouts[stage](features)
            pairs = [(predicted == label, labels == label) for label in self.probe.classes]
            hits = torch.tensor([2.0 * (here & there).sum() for here, there in pairs])
            sizes = torch.tensor([float(here.sum() + there.sum()) for here, there in pairs])
            outcome = StageOutcome(hits, sizes, FeatureMoments.of(features.T[None]))
            found[stage] = found[stage] + outcome if stage in found else outcome
        return {
            stage: replace(found[stage], area=readouts[stage].ranks_right(features, labels))
            for stage, features, labels in drawn.by_stage()
        }

    def _by_stage(self, cases: Iterable[str]) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Of every stage its features (V, E) and labels (V,), batch by batch; outside the nonzero mask is background."""
        for case in cases:
            image, labels = _read(self.probe.open_case, case)
            for volume, truth in self._batches(image, labels.clamp(min=0)):
                with self.autocast():
                    stages = features_by_stage(self.network, volume.to(self.device))
                for stage, features in stages.items():
                    on_cpu = features.float().cpu()
                    yield stage, on_cpu.movedim(1, -1).flatten(0, -2), at_size_of(truth, on_cpu).flatten()

    def _batches(self, *volumes: Tensor) -> Iterator[tuple[Tensor, ...]]:
        tiled = [tile(volume, self.probe.patch_size) for volume in volumes]
        some = np.unique(np.linspace(0, len(tiled[0]) - 1, MOST_PATCHES).round().astype(int))
        chosen = ([patches[index] for index in some] for patches in tiled)
        return zip(*(batches(patches, self.probe.batch_size) for patches in chosen), strict=True)


def _read(open_case: OpenCase, case: str) -> Case:
    image, segmentation, *_ = open_case(case).load_case(case)
    return torch.from_numpy(np.array(image[:], np.float32)), torch.from_numpy(np.array(segmentation[:], np.int64))
