"""What step 1 and nnU-Net ask of every network, asked of each in turn."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans


def test_nnunet_builds_it_from_json(small):
    network = get_network_from_plans(
        f"nnunetv2_lwi.networks.{small.network_class.__name__}",
        json.loads(json.dumps(small.arch_kwargs)),
        [],
        input_channels=2,
        output_channels=3,
        deep_supervision=False,
    )
    assert isinstance(network, small.network_class)


def test_encoder_hands_over_grids(small):
    network, x = small.build().eval(), small.batch()
    with torch.no_grad():
        features = network.encoder(x)
    stages = features[-len(small.stage_shapes) :]
    assert [list(z.shape) for z in stages] == [[2, *shape] for shape in small.stage_shapes]
    if len(features) > len(stages):
        assert features[0] is x
    assert list(network.order_levels) == list(range(len(features) - len(stages), len(features)))


def test_forward_is_decoder_after_encoder(small):
    network, x = small.build().eval(), small.batch()
    with torch.no_grad():
        logits = network(x)
        assert logits.shape == (2, 3, *small.patch_size)
        assert torch.equal(logits, network.decoder(network.encoder(x)))


def test_list_if_deeply_supervised(small):
    network, x = small.build().eval(), small.batch()
    with torch.no_grad():
        alone = network(x)
        network.decoder.deep_supervision = True
        outputs = network(x)
    assert len(outputs) == len(network.decoder.seg_layers)
    assert torch.equal(outputs[0], alone)


def test_only_output_layers_know_the_classes(small):
    shapes = [{k: v.shape for k, v in small.build(classes=n).state_dict().items()} for n in (1, 5)]
    assert shapes[0].keys() == shapes[1].keys()
    differing = {key for key in shapes[0] if shapes[0][key] != shapes[1][key]}
    assert differing == {key for key in shapes[0] if key.startswith("decoder.seg_layers.")}


def test_every_parameter_is_used(small):
    network = small.build()
    network(small.batch()).sum().backward()
    unused = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    outputs = range(1, len(network.decoder.seg_layers))
    assert unused == {f"decoder.seg_layers.{i}.{name}" for i in outputs for name in ("weight", "bias")}


def test_encoder_does_not_read_what_the_decoder_owns(small):
    """The order heads alone train the whole encoder and nothing else."""
    network = small.build()
    sum(z.sum() for z in network.encoder(small.batch())).backward()
    trained = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, _ in network.named_parameters() if name.startswith("encoder.")}


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_number_of_channels(small, channels):
    network = small.build(channels=channels, classes=channels).eval()
    with torch.no_grad():
        assert network(small.batch(channels)).shape == (2, channels, *small.patch_size)


@pytest.mark.parametrize("axis", [2, 3, 4], ids=["depth", "height", "width"])
def test_axes_keep_their_places_at_every_level(small, axis):
    """A change in one slab of the input changes Z_i most in the same slab: axis 2 is depth, and so on."""
    encoder, x = small.build().encoder.eval(), small.batch()[:1]
    slabs = small.stage_shapes[-1][axis - 1]
    thickness = x.shape[axis] // slabs
    levels = small.network_class.order_levels
    with torch.no_grad():
        features = encoder(x)
        for slab in range(slabs):
            changed = x.clone()
            changed.narrow(axis, slab * thickness, thickness).add_(torch.randn(()))
            differences = [z - features[i] for i, z in enumerate(encoder(changed))]
            for level in levels:
                profile = differences[level].abs().transpose(axis, 0).flatten(1).mean(dim=1)
                assert profile.view(slabs, -1).mean(dim=1).argmax() == slab


@pytest.mark.parametrize("small", ["unetr", "swin_unetr", "primus"], indirect=True)
def test_deep_supervision_is_refused_by_name(small):
    assert not small.network_class.supports_deep_supervision
    with pytest.raises(ValueError, match=r"nnUNetTrainerLWISeg.*nnUNetTrainerNoDeepSupervision"):
        small.build(deep_supervision=True)


def test_input_of_another_size_is_refused(small):
    network, (depth, *plane) = small.build(), small.patch_size
    with pytest.raises(ValueError, match=rf"\[{depth + 4}, {plane[0]}, {plane[1]}\]"):
        network(torch.zeros(1, 2, depth + 4, *plane))


def test_importing_the_networks_imports_no_library_of_networks():
    code = (
        "import sys, nnunetv2_lwi.networks;"
        "print(sorted({'monai', 'timm', 'dynamic_network_architectures'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "[]"


@pytest.mark.parametrize("small", ["unetr", "swin_unetr"], indirect=True)
def test_without_monai_one_line_says_what_to_install(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "monai", None)
    with pytest.raises(ImportError, match=r"pip install 'nnunetv2_lwi\[hybrids\]'") as stopped:
        small.build()
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize("small", ["unetr_pp", "primus"], indirect=True)
def test_the_others_do_without_monai(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "monai", None)
    assert isinstance(small.build(), small.network_class)
