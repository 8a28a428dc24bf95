"""Which parts of a network go over: by structure, on nnU-Net's networks and on the hybrids."""

from __future__ import annotations

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from nnunetv2_lwi.handover.parts import keys_handed_over, keys_of_encoder, keys_of_last_stages
from nnunetv2_lwi.planning.settings import HANDED_OVER, SegSettings
from tests.networks.conftest import SMALL, Small
from tests.networks_for_tests import REQUIRE_IMPORT, UNET, ReadsValues, build_unet, unet_kwargs

STRIDES = [[1, 1, 1], [2, 2, 2], [2, 2, 2], [1, 2, 2]]
PATCH = (8, 16, 16)


def blocks(keys: set[str], below: str = "decoder.") -> set[str]:
    """The first two names below: the stages of a decoder."""
    return {".".join(key.removeprefix(below).split(".")[:2]) for key in keys if ".seg_layers." not in key}


@pytest.mark.parametrize("residual", [False, True])
def test_the_encoder_has_two_names(residual: bool):
    network = build_unet(STRIDES, residual=residual)
    keys = keys_of_encoder(network)
    assert keys == {key for key in network.state_dict() if key.startswith(("encoder.", "decoder.encoder."))}
    assert keys_handed_over(network, SegSettings(hand_over="encoder"), 1, PATCH) == keys


def test_what_an_encoder_remembers_without_a_gradient_is_its_own_too():
    """The running means of batch norms, by both names."""
    kwargs = unet_kwargs(STRIDES) | {"norm_op": "torch.nn.BatchNorm3d", "norm_op_kwargs": {}}
    network = get_network_from_plans(f"{UNET}.PlainConvUNet", kwargs, REQUIRE_IMPORT, 1, 1, deep_supervision=True)
    keys = keys_of_encoder(network)
    assert keys == {key for key in network.state_dict() if key.startswith(("encoder.", "decoder.encoder."))}
    assert any(key.startswith("encoder.") and key.endswith("running_mean") for key in keys)


@pytest.mark.parametrize("residual", [False, True])
def test_the_last_stages_are_those_whose_outputs_are_largest(residual: bool):
    """nnU-Net's decoders count from the bottleneck up: with four levels the last stage is number 2."""
    network = build_unet(STRIDES, residual=residual)
    assert blocks(keys_of_last_stages(network, 1, 1, PATCH)) == {"stages.2", "transpconvs.2"}
    assert blocks(keys_of_last_stages(network, 2, 1, PATCH)) == {"stages.2", "transpconvs.2", "stages.1", "transpconvs.1"}
    assert keys_of_last_stages(network, 0, 1, PATCH) == set()


def test_stages_of_one_size_are_one_stage():
    """A level that is strided in plane alone, and one that is not strided at all."""
    network = build_unet([[1, 1, 1], [1, 1, 1], [1, 2, 2]])
    assert blocks(keys_of_last_stages(network, 1, 1, PATCH)) == {"stages.0", "transpconvs.0", "stages.1", "transpconvs.1"}


LAST = {
    "unetr": {"image_block", "up"},
    "swin_unetr": {"image_block", "up"},
    "unetr_pp": {"image_block", "up"},
    "primus": {"up_projection"},
}


@pytest.mark.parametrize("name", SMALL)
def test_of_the_hybrids_the_blocks_at_full_resolution_stay_behind(name: str):
    small: Small = SMALL[name]
    network = small.build(channels=1, classes=2)
    last = keys_of_last_stages(network, 1, 1, small.patch_size)
    two = keys_of_last_stages(network, 2, 1, small.patch_size)
    decoder = {key for key in network.state_dict() if key.startswith("decoder.")}
    assert last and last <= two <= decoder and not last & keys_of_encoder(network)
    outputs: dict[str, int] = {}

    def note(key: str):
        def hook(module: nn.Module, _: object, output: object) -> None:
            if isinstance(output, torch.Tensor) and output.dim() == 5:
                outputs[key] = output[0, 0].numel()

        return hook

    for key, module in network.decoder.named_modules(prefix="decoder"):
        module.register_forward_hook(note(key))
    network(small.batch(1))
    sizes = {key: outputs[key.rpartition(".")[0]] for key in decoder if key.rpartition(".")[0] in outputs}
    largest = max(size for key, size in sizes.items() if ".seg_layers." not in key)  # of Primus its outputs alone are larger
    of_largest = {key for key, size in sizes.items() if size >= largest}
    assert of_largest <= last and any(".seg_layers." not in key for key in last)
    assert not any(sizes.get(key, largest) < largest for key in last)


@pytest.mark.parametrize("parts", HANDED_OVER)
def test_every_rule_leaves_the_network_as_it_was(parts: str):
    network = build_unet(STRIDES)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    keys = keys_handed_over(network, SegSettings(hand_over=parts), 1, PATCH)
    assert keys_of_encoder(network) <= keys <= before.keys()
    assert (keys == before.keys()) == (parts == "network")
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_that_cannot_run_on_shapes_is_run():
    kwargs = unet_kwargs([[1, 1, 1], [2, 2, 2]])
    kwargs |= {"conv_op": nn.Conv3d, "norm_op": nn.InstanceNorm3d, "nonlin": nn.LeakyReLU}
    network = ReadsValues(input_channels=1, num_classes=2, **kwargs)
    assert blocks(keys_of_last_stages(network, 1, 1, PATCH)) == {"stages.0", "transpconvs.0"}


class OutputsAlone(nn.Module):
    """A decoder that is nothing but its output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv3d(1, 2, 1)
        self.decoder = nn.Module()
        self.decoder.seg_layers = nn.ModuleList([nn.Conv3d(2, 2, 1)])

    def forward(self, x):
        return self.decoder.seg_layers[0](self.encoder(x))


def test_of_a_decoder_of_output_layers_alone_these_are_what_stays():
    outputs = {"decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"}
    assert keys_of_last_stages(OutputsAlone(), 1, 1, PATCH) == outputs
