"""The readout against least squares by hand, and which voxels it is fitted to."""

from __future__ import annotations

import math

import pytest
import torch

from nnunetv2_lwi.method.linear_probe import BACKGROUND_PER_FOREGROUND, at_size_of, draw_voxels, fit


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_classes_that_lie_apart_are_read_out_of_whatever_scale():
    labels = torch.randint(0, 3, (900,), generator=generator()) * 2  # labels 0, 2, 4
    features = torch.randn(900, 5, generator=generator(1)) * 0.1
    features[:, 1] += (labels == 2) * 1.0
    features[:, 3] += (labels == 4) * 1.0
    scaled = features * torch.tensor([1e-4, 1e4, 1.0, 1e-3, 1e3]) + 7
    for x in (features, scaled):
        readout = fit(x[:600], labels[:600], (2, 4))
        assert (readout(x[600:]) == labels[600:]).float().mean() > 0.99


def test_nothing_is_read_out_of_noise():
    labels = torch.randint(0, 2, (2000,), generator=generator())
    features = torch.randn(2000, 4, generator=generator(1))
    right = (fit(features[:1000], labels[:1000], (1,))(features[1000:]) == labels[1000:]).float().mean().item()
    assert right == pytest.approx(0.5, abs=0.05)


def test_it_is_ridge_regression():
    x, labels = torch.randn(50, 3, generator=generator()).double(), torch.randint(0, 2, (50,), generator=generator(1))
    readout = fit(x, labels, (1,))
    scaled = torch.cat([(x - x.mean(0)) / x.std(0), torch.ones(50, 1)], 1)
    y = torch.stack([labels == 0, labels == 1], 1).double()
    rows = torch.cat([scaled, torch.diag(torch.tensor([0.05, 0.05, 0.05, 0.0]).double().sqrt())])
    expected = torch.linalg.lstsq(rows, torch.cat([y, torch.zeros(4, 2)])).solution
    assert torch.allclose(readout.weights, expected, atol=1e-6)


def test_the_area_is_the_share_of_pairs_in_order_wherever_the_scores_are_cut():
    """With one voxel of the class in fifty the readout names it nowhere, and its Dice is 0; the area tells."""
    labels = (torch.arange(1000) % 50 == 0).long() * 3
    features = torch.randn(1000, 2, generator=generator()) + (labels == 3)[:, None] * 1.5
    readout = fit(features, labels, (3, 5))
    assert not (readout(features) == 3).any()
    scores = readout.scores(features)[:, 1]
    pairs = scores[labels == 3][:, None] > scores[labels == 0][None]
    areas = readout.ranks_right(features, labels)
    assert areas[3] == pytest.approx(pairs.float().mean().item(), abs=1e-6) and areas[3] > 0.8
    assert math.isnan(areas[5])


def test_a_feature_that_is_constant_is_no_obstacle():
    labels = torch.tensor([0, 1] * 20)
    features = torch.stack([labels.float(), torch.full((40,), 3.0)], 1)
    assert (fit(features, labels, (1,))(features) == labels).all()


def test_voxels_are_drawn_by_class_and_the_background_with_them():
    labels = torch.zeros(1000, dtype=torch.long)
    labels[:5], labels[5:200] = 1, 3
    drawn = labels[draw_voxels(labels, (1, 2, 3), 20, generator())]
    counts = {label: int((drawn == label).sum()) for label in (0, 1, 2, 3)}
    assert counts == {1: 5, 2: 0, 3: 20, 0: BACKGROUND_PER_FOREGROUND * 25}
    assert len(draw_voxels(torch.zeros(9, dtype=torch.long), (1,), 20, generator())) == BACKGROUND_PER_FOREGROUND


def test_labels_come_to_the_size_of_the_features():
    labels = torch.zeros(1, 1, 4, 4, 4, dtype=torch.long)
    labels[..., 2:] = 5
    found = at_size_of(labels, torch.zeros(1, 7, 2, 2, 2))
    assert found.shape == (1, 2, 2, 2) and (found[..., 1] == 5).all() and (found[..., 0] == 0).all()


def test_a_feature_has_the_label_at_its_middle():
    """nnU-Net's way to resize labels would take the first voxel of each."""
    labels = torch.tensor([0, 1, 2, 3]).view(1, 1, 4, 1, 1)
    assert at_size_of(labels, torch.zeros(1, 1, 2, 1, 1)).flatten().tolist() == [1, 3]


def test_a_generator_draws_the_same_voxels_again():
    labels = torch.randint(0, 2, (500,), generator=generator())
    first = draw_voxels(labels, (1,), 50, generator(1))
    torch.rand(7)
    assert torch.equal(draw_voxels(labels, (1,), 50, generator(1)), first)
    assert not torch.equal(draw_voxels(labels, (1,), 50, generator(2)), first)


def test_one_voxel_of_a_class_has_an_area_and_a_class_alone_has_none():
    labels = torch.tensor([0] * 9 + [1])
    features = labels[:, None] * 2.0 + torch.arange(10)[:, None] * 0.01
    readout = fit(features, labels, (1,))
    assert readout.ranks_right(features, labels)[1] == 1.0
    assert math.isnan(readout.ranks_right(features, torch.ones(10, dtype=torch.long))[1])


def test_a_class_that_the_fitted_cases_lack_is_never_named():
    labels = torch.tensor([0, 1] * 20)
    features = labels[:, None].float()
    assert (fit(features, labels, (1, 4))(features) == labels).all()


def test_a_class_that_the_fitted_cases_lack_has_no_area():
    """Its scores are all the same, which would count as chance."""
    features, labels = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 2
    areas = fit(features, labels, (1, 2)).ranks_right(features, torch.arange(60) % 3)
    assert not math.isnan(areas[1]) and math.isnan(areas[2])
