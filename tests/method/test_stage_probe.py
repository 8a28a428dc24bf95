"""A probe of every stage: what is in the features is read off, what is not is not, and the network stays as it was."""

from __future__ import annotations

from math import isnan, nan

import numpy as np
import pytest
import torch

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.method import stage_probe
from nnunetv2_lwi.method.feature_rank import FeatureMoments
from nnunetv2_lwi.method.linear_probe import Readout, fit
from nnunetv2_lwi.method.stage_probe import THOROUGH, Effort, StageOutcome, StageProbe
from tests.networks_for_tests import build_unet

PATCH = (8, 8, 8)
STAGES = ["encoder 0", "encoder 1", "encoder 2", "decoder 1", "decoder 2"]


class Cases:
    """Images of three intensities; the labels say which, or are drawn."""

    def __init__(self, visible: bool = True, shape=(16, 16, 16), without: int | None = None) -> None:
        self.visible, self.shape, self.without = visible, shape, without
        self.opened: list[str] = []

    def load_case(self, name):
        self.opened.append(name)
        draw = np.random.default_rng(int(name))
        coarse = draw.integers(0, 3, [edge // 8 for edge in self.shape])
        shown = np.kron(coarse, np.ones((8, 8, 8), int))
        labels = shown if self.visible else np.kron(draw.integers(0, 3, coarse.shape), np.ones((8, 8, 8), int))
        labels = np.where(labels == self.without, 0, labels)
        labels[0, 0, 0] = -1
        image = shown + 0.05 * draw.standard_normal(self.shape)
        return image[None].astype(np.float32), labels[None].astype(np.int16), None, {}

    def probe(self, fitted="012", tested="34", batch_size: int = 2, effort: Effort = THOROUGH) -> StageProbe:
        return StageProbe(PATCH, batch_size, (1, 2), lambda _: self, tuple(fitted), tuple(tested), effort)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_unet([[1, 1, 1], [2, 2, 2], [2, 2, 2]])


@pytest.fixture
def known(monkeypatch):
    """Stages of which it is known what they show: the intensity, the same at half resolution, nothing."""

    def features(_, batch):
        shown = torch.cat([(batch.round() == value).float() for value in range(3)], 1)
        noise = torch.randn(len(batch), 3, *PATCH, generator=torch.Generator().manual_seed(0))
        return {"fine": shown, "coarse": shown[:, :, ::2, ::2, ::2], "blind": noise}

    monkeypatch.setattr(stage_probe, "features_by_stage", features)


def test_what_the_features_show_is_read_off_and_what_they_do_not_is_not(network, known):
    found = Cases().probe()(network)
    for stage in ("fine", "coarse"):
        assert found[stage].mean_area > 0.999 and min(found[stage].dice((1, 2)).values()) > 0.999
    assert 0.4 < found["blind"].mean_area < 0.6
    assert 0.4 < Cases(visible=False).probe("0123", "456789")(network)["fine"].mean_area < 0.65


def test_every_stage_of_a_network_is_probed(network):
    assert list(Cases().probe()(network)) == STAGES


def test_the_cases_are_those_that_were_asked_for(network, known):
    cases = Cases()
    cases.probe("01", "23")(network)
    assert cases.opened == ["0", "1", "2", "3"]


def test_how_patches_are_batched_changes_no_dice(network, known):
    one, several = (Cases().probe(batch_size=size)(network)["fine"] for size in (1, 3))
    assert torch.equal(one.sizes, several.sizes) and torch.equal(one.hits, several.hits)


def test_sizes_are_of_every_voxel_of_the_tested_cases_and_the_unlabelled_is_background(network, known):
    """Truth and prediction together. The voxel that lies outside of the nonzero mask looks like its neighbours."""
    cases = Cases()
    (image, labels, *_) = cases.load_case("4")
    outcome = cases.probe(tested="4")(network)["fine"]
    truth, seen = (torch.tensor([float((of == label).sum()) for label in (1, 2)]) for of in (labels, image.round()))
    assert torch.equal(outcome.hits, 2 * truth) and torch.equal(outcome.sizes, truth + seen)
    assert not torch.equal(truth, seen), "or nothing lies outside"
    assert outcome.moments.count == labels.size


def test_a_probe_gives_the_same_again_and_draws_so_many_voxels_of_a_class_and_no_more(network, known, monkeypatch):
    drawn = []
    monkeypatch.setattr(stage_probe, "fit", lambda x, labels, classes: drawn.append(labels) or fit(x, labels, classes))
    first, again = (Cases().probe("0", "3", effort=Effort(24, 20))(network) for _ in range(2))
    assert [outcome.area for outcome in first.values()] == [outcome.area for outcome in again.values()]
    (one, *_), batches_of_a_case = drawn, 4
    assert 0 < (one == 1).sum() <= 20 * batches_of_a_case and (one == 2).sum() <= 20 * batches_of_a_case


def test_of_many_classes_fewer_voxels_each_are_drawn(network, known, monkeypatch):
    drawn = []
    monkeypatch.setattr(stage_probe, "fit", lambda x, labels, classes: drawn.append(labels) or fit(x, labels, classes))
    monkeypatch.setattr(stage_probe, "MOST_FOREGROUND", 30)
    Cases().probe("0", "3", batch_size=1)(network)
    (one, *_), batches_of_a_case = drawn, 8
    assert (
        0 < (one > 0).sum() <= 30 * batches_of_a_case and max((one == 1).sum(), (one == 2).sum()) <= 15 * batches_of_a_case
    )


def test_areas_alone_are_those_of_the_whole_probe_and_look_at_drawn_voxels_only(network, monkeypatch):
    probe = Cases().probe()
    whole = probe(network.train())
    monkeypatch.setattr(FeatureMoments, "of", lambda *_: 1 // 0)
    monkeypatch.setattr(Readout, "__call__", lambda *_: 1 // 0)
    assert probe.areas(network) == {stage: outcome.area for stage, outcome in whole.items()}
    assert network.training


def test_with_few_patches_those_with_a_class_are_looked_at(network, monkeypatch):
    """A small organ is in few of them; of a case without any class all count."""
    read = []
    monkeypatch.setattr(
        stage_probe, "features_by_stage", lambda _, batch: read.extend(batch) or {"encoder 0": batch.repeat(1, 2, 1, 1, 1)}
    )
    cases, effort = Cases(shape=(56, 8, 8)), Effort(2, 2000, with_classes=True)
    monkeypatch.setattr(cases, "load_case", lambda name: one_organ(int(name)))
    cases.probe("0", "1", effort=effort)(network)
    assert [float(patch.max()) for patch in read] == [1.0, 1.0, 0.0, 0.0]


def one_organ(number):
    """Case 0 has one at its end, of intensity 1; case 1 has none."""
    image = np.zeros((1, 56, 8, 8), np.float32)
    image[:, 44:] = 1 - number
    return image, image.astype(np.int16), None, {}


def test_of_a_large_case_a_few_patches_are_read_spread_over_it(network, monkeypatch):
    read = []
    monkeypatch.setattr(
        stage_probe, "features_by_stage", lambda _, batch: read.extend(batch) or {"encoder 0": batch.repeat(1, 2, 1, 1, 1)}
    )
    cases = Cases(shape=(56, 8, 8))
    cases.probe("0", "1", effort=Effort(3, 2000))(network)
    (image, *_) = cases.load_case("0")
    assert len(read) == 2 * 3
    for patch, start in zip(read[:3], (0, 24, 48), strict=True):
        assert torch.equal(patch, torch.from_numpy(image[:, start : start + 8]))


def test_a_class_that_no_tested_case_has_is_left_out(network, known):
    cases = Cases(without=2)
    found = cases.probe()(network)["fine"]
    assert isnan(found.area[2]) and found.mean_area == found.area[1]


def test_the_network_is_left_as_it_was(network):
    for training in (True, False):
        network.train(training)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        Cases().probe()(network)
        assert network.training == training
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    with pytest.raises(ZeroDivisionError):
        StageProbe(PATCH, 2, (1,), lambda _: 1 // 0, ("0",), ("1",))(network.train())
    assert network.training


def test_figures_of_batches_add_up_and_a_class_in_neither_has_no_dice():
    moments = FeatureMoments.of(torch.randn(1, 2, 5))
    one = StageOutcome(torch.tensor([2.0, 0.0]), torch.tensor([4.0, 0.0]), moments, {1: 0.5, 2: nan})
    both = one + StageOutcome(torch.tensor([4.0, 0.0]), torch.tensor([4.0, 0.0]), moments)
    assert both.dice((1, 2))[1] == 0.75 and isnan(both.dice((1, 2))[2])
    assert one.mean_area == 0.5 and isnan(both.mean_area)
    assert int(both.moments.count) == 10


@pytest.mark.parametrize(("fitted", "tested"), [("", "1"), ("1", "")])
def test_without_cases_there_is_no_probe(fitted, tested):
    with pytest.raises(UserError, match="give it a fold with some"):
        Cases().probe(fitted, tested)
