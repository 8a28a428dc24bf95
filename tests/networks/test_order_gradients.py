"""Step 1 on each network: what every order head sees, exactly at its level and, on average over seeds, at the image."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nnunetv2_lwi.method.order_heads import pool_slabs
from nnunetv2_lwi.method.pretext_network import PretextNetwork
from nnunetv2_lwi.planning.settings import LWISettings
from tests.networks.conftest import SMALL, Small

CHANNELS = 2
SEEDS = 2


def with_swin_on(patch_size: list[int]) -> dict[str, Small]:
    """The four networks, each on three slabs; Swin-UNETR's stride of 32 decides what a test of it costs."""
    swin = SMALL["swin_unetr"]
    return SMALL | {"swin_unetr": replace(swin, arch_kwargs=swin.arch_kwargs | {"patch_size": patch_size})}


NETWORKS = with_swin_on([96, 64, 64])
SMALLER = with_swin_on([96, 32, 32])


def pretext(network: Small) -> PretextNetwork:
    built = network.build(CHANNELS, CHANNELS)
    return PretextNetwork.around(built, LWISettings(), CHANNELS, network.patch_size).eval()


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Small:
    """Each of the four in turn."""
    torch.manual_seed(0)
    return NETWORKS[request.param]


def test_every_level_has_a_head_and_there_are_three_slabs(network):
    step1 = pretext(network)
    assert step1.slabs == 3
    assert tuple(level.index for level in step1.order_heads.levels) == tuple(step1.network.order_levels)


def test_logits_of_a_position_depend_on_its_slab_alone_at_every_level(network):
    step1 = pretext(network)
    features = [z.detach().requires_grad_() for z in step1.network.encoder(network.batch(CHANNELS))]
    for level, logits in zip(step1.order_heads.levels, step1.order_heads(features), strict=True):
        group = level.depth // step1.slabs
        for position in range(step1.slabs):
            (gradient,) = torch.autograd.grad(logits[:, position].square().sum(), features[level.index], retain_graph=True)
            own = gradient[:, :, position * group : (position + 1) * group]
            assert own.abs().amin((2, 3, 4)).gt(0).all(), "every position of the slab, at every height and width, counts"
            torch.testing.assert_close(own, own.mean((2, 3, 4), keepdim=True).expand_as(own))
            assert gradient.abs().sum().item() == pytest.approx(own.abs().sum().item()), "and no other"


def test_heads_pool_as_a_plain_loop_does(network):
    step1 = pretext(network)
    with torch.no_grad():
        features = step1.network.encoder(network.batch(CHANNELS))
        for level in step1.order_heads.levels:
            z, group = features[level.index], level.depth // step1.slabs
            pooled = pool_slabs(z, step1.slabs)
            for position in range(step1.slabs):
                total = sum(z[:, :, position * group + offset].mean((2, 3)) for offset in range(group))
                torch.testing.assert_close(pooled[:, position], total / group)


@pytest.mark.parametrize("name", SMALLER)
def test_averaged_over_seeds_a_slab_has_the_largest_share_of_its_own_gradient_at_the_image(name):
    """Tokens arranged along another axis, or in another order, fail this."""
    network = SMALLER[name]
    depth = network.patch_size[0]
    shares: dict[int, torch.Tensor] = {}
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        step1 = pretext(network)
        image = network.batch(CHANNELS)[:1].requires_grad_()
        logits = step1.order_heads(step1.network.encoder(image))
        for level, level_logits in zip(step1.order_heads.levels, logits, strict=True):
            for position in range(step1.slabs):
                (gradient,) = torch.autograd.grad(level_logits[:, position].square().sum(), image, retain_graph=True)
                slabs = gradient.square().sum((0, 1, 3, 4)).reshape(step1.slabs, depth // step1.slabs).sum(1)
                share = shares.setdefault(level.index, torch.zeros(step1.slabs, step1.slabs))
                share[position] += slabs / slabs.sum() / SEEDS
    for index, share in shares.items():
        assert share.argmax(1).tolist() == [0, 1, 2], f"level {index}: {share}"
