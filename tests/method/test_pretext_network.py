"""Step 1's network on nnU-Net's own: exact order gradients, what is frozen, and the state dict that step 2 takes."""

from __future__ import annotations

import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_lwi.method.loss import PretextLoss
from nnunetv2_lwi.method.pretext_network import PretextNetwork, build_pretext_network
from nnunetv2_lwi.method.transformation import Transformation
from nnunetv2_lwi.planning.settings import LWISettings
from tests.networks_for_tests import build_unet
from tests.tiny_dataset import make_plans

PATCH = (12, 16, 24)
STRIDES = {
    "isotropic": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
    "anisotropic": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "flat": [[1, 1, 1], [1, 2, 2]],
}


def make(strides="isotropic", channels=2, residual=False, **block) -> PretextNetwork:
    torch.manual_seed(0)
    network = build_unet(STRIDES[strides], channels, channels, residual)
    return PretextNetwork.around(
        network, LWISettings.from_configuration({"lwi": {"order_weight": 1.0, **block}}), channels, PATCH
    )


def test_a_plan_s_network_is_built_with_an_output_a_channel():
    configuration = PlansManager(make_plans(channels=2)).get_configuration("3d_fullres")
    pretext = build_pretext_network(
        configuration, 2, LWISettings.from_configuration({"lwi": {"order_weight": 1.0, "num_subvolumes": 4}})
    )
    assert pretext.slabs == 4 and [level.depth for level in pretext.levels] == [8, 4, 2]
    assert [level.index for level in pretext.levels_without_head()] == [2]
    output = pretext(torch.zeros(1, 2, *configuration.patch_size))
    assert output.reconstruction.shape == (1, 2, *configuration.patch_size)
    assert len(output.coarse) == 1


def test_the_network_says_which_levels_are_offered():
    network = build_unet(STRIDES["isotropic"], 1, 1)
    network.order_levels = (1,)
    pretext = PretextNetwork.around(network, LWISettings(), 1, PATCH)
    assert [level.index for level in pretext.order_heads.levels] == [1]


def test_arguments_of_the_state_dict_reach_the_network():
    pretext = make(channels=1)
    state = pretext.state_dict(prefix="a.")
    assert all(key.startswith(("a.encoder.", "a.decoder.")) for key in state)
    kept = pretext.state_dict(keep_vars=True)
    assert all(isinstance(value, torch.nn.Parameter) for value in kept.values())
    some = {key: value for key, value in pretext.state_dict().items() if key.startswith("encoder.")}
    assert pretext.load_state_dict(some, strict=False).missing_keys
    with pytest.raises(RuntimeError, match="Missing key"):
        pretext.load_state_dict(some)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("strides", STRIDES)
def test_logits_depend_on_their_own_slab_of_every_level_alone(strides, residual):
    pretext = make(strides, residual=residual)
    skips = [z.detach().requires_grad_() for z in pretext.network.encoder(torch.randn(2, 2, *PATCH))]
    heads = pretext.order_heads
    assert len(heads.levels) == len(skips)
    for level, logits in zip(heads.levels, heads(skips), strict=True):
        group = level.depth // pretext.slabs
        for position in range(pretext.slabs):
            (gradient,) = torch.autograd.grad(logits[:, position].square().sum(), skips[level.index], retain_graph=True)
            touched = (gradient.abs().sum((0, 1, 3, 4)) > 0).nonzero().flatten().tolist()
            assert touched == list(range(position * group, (position + 1) * group))


def test_averaged_over_seeds_a_slab_has_the_largest_share_of_its_own_gradient_at_the_input():
    slabs = 3
    energy = torch.zeros(slabs, slabs)
    for seed in range(8):
        torch.manual_seed(seed)
        network = build_unet(STRIDES["isotropic"], 1, 1)
        pretext = PretextNetwork.around(network, LWISettings(), 1, PATCH)
        image = torch.randn(1, 1, *PATCH, requires_grad=True)
        logits = pretext(image).order_logits[-1]
        for position in range(slabs):
            (gradient,) = torch.autograd.grad(logits[0, position].square().sum(), image, retain_graph=True)
            share = gradient.square().view(slabs, -1).sum(1)
            energy[position] += share / share.sum()
    assert torch.equal(energy.argmax(1), torch.arange(slabs))


def losses_of(pretext: PretextNetwork, settings: LWISettings) -> dict[str, torch.Tensor]:
    transformation = Transformation(PATCH, pretext.slabs, settings.masking if settings.reconstructs else None)
    batch = transformation(torch.randn(2, 2, *PATCH), torch.Generator().manual_seed(0))
    loss = PretextLoss.of(settings, [level.index for level in pretext.order_heads.levels])
    losses = loss(pretext(batch.masked), batch)
    assert list(losses) == loss.names
    return losses


@pytest.mark.parametrize("block", [{}, {"order_weight": 0}, {"reconstruction_weight": 0}, {"order_levels": [0]}])
def test_every_trained_parameter_gets_a_gradient_and_no_other(block):
    settings = LWISettings.from_configuration({"lwi": {"order_weight": 1.0, **block}})
    pretext = make(**block)
    losses_of(pretext, settings)["loss"].backward()
    for name, parameter in pretext.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_where_the_finest_output_alone_counts_the_lower_output_layers_are_frozen():
    pretext = make(reconstruction_outputs="full_resolution")
    assert pretext.untrained_keys() == ["decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"]
    assert list(pretext(torch.randn(1, 2, *PATCH)).coarse) == []


def test_with_every_output_each_stage_of_the_decoder_gets_a_gradient_of_its_own():
    pretext = make(reconstruction_outputs="all")
    assert pretext.untrained_keys() == []
    output = pretext(torch.randn(1, 2, *PATCH))
    assert output.reconstruction.shape == (1, 2, *PATCH)
    assert [tuple(coarse.shape) for coarse in output.coarse] == [(1, 2, 6, 8, 12)]
    first, last = (pretext.network.decoder.stages[stage].convs[0].conv.weight for stage in (0, 1))
    of_first, of_last = torch.autograd.grad(output.coarse[0].sum(), [first, last], allow_unused=True)
    assert of_first.abs().sum() > 0 and of_last is None


def test_a_network_with_one_output_has_no_others():
    network = build_unet(STRIDES["isotropic"], 1, 1)
    network.supports_deep_supervision = False
    settings = LWISettings.from_configuration({"lwi": {"order_weight": 1.0, "reconstruction_outputs": "all"}})
    pretext = PretextNetwork.around(network, settings, 1, PATCH)
    output = pretext(torch.randn(1, 1, *PATCH))
    assert output.reconstruction.shape == (1, 1, *PATCH)
    assert list(output.coarse) == [] and network.decoder.deep_supervision is False


def test_without_reconstruction_the_decoder_is_neither_run_nor_trained():
    pretext = make(reconstruction_weight=0)
    pretext.network.decoder.forward = None
    output = pretext(torch.randn(1, 2, *PATCH))
    assert output.reconstruction is None and len(output.order_logits) == 3
    untrained = pretext.untrained_keys()
    assert untrained and all(key.startswith("decoder.") for key in untrained)
    assert not any("encoder" in key for key in untrained)


@pytest.mark.parametrize(("kind", "weights"), [("linear", 2), ("mlp", 4)])
def test_heads_are_of_the_kind_that_the_plan_says(kind, weights):
    assert len(list(make(order_heads=kind).order_heads.classifiers[0].parameters())) == weights


def test_without_order_there_are_no_heads():
    pretext = make(order_weight=0)
    assert pretext.slabs == 1 and list(pretext.order_heads.parameters()) == []
    assert pretext(torch.randn(1, 2, *PATCH)).reconstruction.shape == (1, 2, *PATCH)


def test_the_state_dict_is_that_of_nnunets_network():
    pretext = make()
    state, plain = pretext.state_dict(), build_unet(STRIDES["isotropic"], 2, 2).state_dict()
    assert state.keys() == plain.keys()
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in plain.items()}
    pretext.load_state_dict({key: torch.zeros_like(value) for key, value in plain.items()})
    assert all(parameter.eq(0).all() for parameter in pretext.network.parameters())


def test_chance_is_what_an_untrained_network_scores():
    torch.manual_seed(0)
    correct = []
    for seed in range(40):
        torch.manual_seed(seed)
        pretext = PretextNetwork.around(build_unet(STRIDES["isotropic"], 1, 1), LWISettings(), 1, PATCH)
        batch = Transformation(PATCH, pretext.slabs, None)(torch.randn(4, 1, *PATCH), torch.Generator().manual_seed(seed))
        correct += [(logits.argmax(-1) == batch.order).float().mean() for logits in pretext(batch.masked).order_logits]
    assert torch.stack(correct).mean().item() == pytest.approx(pretext.chance, abs=0.05)


def test_the_decoders_backward_pass_comes_before_that_of_the_heads():
    """Else their gradients, as large as the skips, wait for it: 7 % more memory on nnU-Net's own plan."""
    output = make()(torch.randn(1, 2, *PATCH))
    assert output.reconstruction.grad_fn._sequence_nr() > max(z.grad_fn._sequence_nr() for z in output.order_logits)


def test_the_network_is_captured_whole_by_torch_compile():
    pretext = make()
    image = torch.randn(1, 2, *PATCH)
    compiled = torch.compile(pretext, backend="aot_eager", fullgraph=True)
    expected, actual = pretext(image), compiled(image)
    torch.testing.assert_close(actual.reconstruction, expected.reconstruction)
    torch.testing.assert_close(actual.order_logits, expected.order_logits)
