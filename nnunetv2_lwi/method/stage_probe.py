"""A linear probe of every stage of a network: readouts fitted to frozen features of some cases, tested on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
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

MOST_FOREGROUND = 50_000
"""Voxels that are drawn in one batch of patches, of all classes together: as many of each."""
SEED = 0


@dataclass(frozen=True)
class Effort:
    """How much of the cases a probe looks at.

    Attributes:
        patches: of one case at most, spread evenly over it.
        voxels: drawn of a class in one batch of patches, at most.
        with_classes: only patches that have some, where any has.
    """

    patches: int
    voxels: int
    with_classes: bool = False


THOROUGH, BRIEF = Effort(24, 2000), Effort(6, 200, with_classes=True)

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
        return mean_area(self.area)

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
        effort: how much of them is looked at.
    """

    patch_size: Sequence[int]
    batch_size: int
    classes: Sequence[int]
    open_case: OpenCase
    fitted: Sequence[str]
    tested: Sequence[str]
    effort: Effort = THOROUGH

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
        with _evaluated(network):
            features = _Features(self, network, device, autocast)
            return features.tested_with(features.readouts())

    def areas(
        self,
        network: nn.Module,
        device: torch.device = torch.device("cpu"),  # noqa: B008
        autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> dict[str, dict[int, float]]:
        """By stage, :attr:`StageOutcome.area` alone: no other voxel is looked at than those that are drawn."""
        with _evaluated(network):
            features = _Features(self, network, device, autocast)
            readouts = features.readouts()
            return areas_under(readouts, features.drawn_from(self.tested))


def mean_area(area: Mapping[int, float]) -> float:
    """Over the classes that the test cases have; NaN without any."""
    defined = [value for value in area.values() if not isnan(value)]
    return fmean(defined) if defined else nan


@contextmanager
def _evaluated(network: nn.Module) -> Iterator[None]:
    trained = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(trained)


class _Drawn:
    """Features and labels of some voxels of every class and of the background, by stage."""

    def __init__(self, classes: Sequence[int], most: int) -> None:
        self.classes = classes
        self.most = min(most, MOST_FOREGROUND // len(classes))
        self.generator = torch.Generator().manual_seed(SEED)
        self.batches: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def add(self, stage: str, features: Tensor, labels: Tensor) -> None:
        """Draw from features (N, V, E), on any device, and labels (N, V)."""
        places = draw_voxels(labels.flatten(), self.classes, self.most, self.generator)
        samples, voxels = (index.to(features.device) for index in torch.unravel_index(places, labels.shape))
        self.batches.setdefault(stage, []).append((features[samples, voxels].float().cpu(), labels.flatten()[places]))

    def by_stage(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Of every stage all that was drawn, (V, E) and (V,)."""
        for stage, drawn in self.batches.items():
            yield stage, torch.cat([features for features, _ in drawn]), torch.cat([labels for _, labels in drawn])


def areas_under(readouts: Mapping[str, Readout], drawn: _Drawn) -> dict[str, dict[int, float]]:
    """By stage and class, under the ROC curve of what was drawn."""
    return {stage: readouts[stage].ranks_right(features, labels) for stage, features, labels in drawn.by_stage()}


@dataclass(frozen=True)
class _Features:
    """Of a network, on the cases of a probe."""

    probe: StageProbe
    network: nn.Module
    device: torch.device
    autocast: Callable[[], AbstractContextManager[object]]

    def readouts(self) -> dict[str, Readout]:
        """Fitted to the features of the probe's cases for that."""
        drawn = self.drawn_from(self.probe.fitted)
        return {stage: fit(x, labels, self.probe.classes) for stage, x, labels in drawn.by_stage()}

    def drawn_from(self, cases: Iterable[str]) -> _Drawn:
        drawn = self._nothing_drawn()
        for stage, features, labels in self._by_stage(cases):
            drawn.add(stage, features, labels)
        return drawn

    def tested_with(self, readouts: dict[str, Readout]) -> dict[str, StageOutcome]:
        found: dict[str, StageOutcome] = {}
        drawn = self._nothing_drawn()
        for stage, by_sample, labels_by_sample in self._by_stage(self.probe.tested):
            drawn.add(stage, by_sample, labels_by_sample)
            features, labels = by_sample.float().cpu().flatten(0, 1), labels_by_sample.flatten()
            predicted = readouts[stage](features)
            pairs = [(predicted == label, labels == label) for label in self.probe.classes]
            hits = torch.tensor([2.0 * (here & there).sum() for here, there in pairs])
            sizes = torch.tensor([float(here.sum() + there.sum()) for here, there in pairs])
            outcome = StageOutcome(hits, sizes, FeatureMoments.of(features.T[None]))
            found[stage] = found[stage] + outcome if stage in found else outcome
        return {stage: replace(found[stage], area=area) for stage, area in areas_under(readouts, drawn).items()}

    def _nothing_drawn(self) -> _Drawn:
        return _Drawn(self.probe.classes, self.probe.effort.voxels)

    def _by_stage(self, cases: Iterable[str]) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Of every stage its features (N, V, E), on the device, and labels (N, V), batch by batch.

        Outside the nonzero mask is background.
        """
        for case in cases:
            image, labels = _read(self.probe.open_case, case)
            for volume, truth in self._patches(image, labels.clamp(min=0)):
                with self.autocast():
                    stages = features_by_stage(self.network, volume.to(self.device))
                for stage, features in stages.items():
                    yield stage, features.flatten(2).movedim(1, 2), at_size_of(truth, features).flatten(1)

    def _patches(self, image: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Of both, batch by batch."""
        tiled = [tile(volume, self.probe.patch_size) for volume in (image, labels)]
        effort, places = self.probe.effort, list(range(len(tiled[0])))
        if effort.with_classes:
            places = [place for place in places if tiled[1][place].any()] or places
        some = np.unique(np.linspace(0, len(places) - 1, effort.patches).round().astype(int))
        chosen = ([patches[places[index]] for index in some] for patches in tiled)
        return zip(*(batches(patches, self.probe.batch_size) for patches in chosen), strict=True)


def _read(open_case: OpenCase, case: str) -> Case:
    image, segmentation, *_ = open_case(case).load_case(case)
    return torch.from_numpy(np.array(image[:], np.float32)), torch.from_numpy(np.array(segmentation[:], np.int64))
