"""Which parts of a network a plan hands over: by structure, so that the rule holds for any encoder and decoder.

The stages of a decoder are told by the size of what they give: the last stage is every block of the decoder whose output is
as large as the largest, transposed convolutions that lead there among them; the last two, also those of the next size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from torch import Tensor, nn

from nnunetv2_lwi.handover.transfer import OUTPUT_LAYERS
from nnunetv2_lwi.networks.dry_run import run_on_shapes
from nnunetv2_lwi.networks.volumes import watching_volumes
from nnunetv2_lwi.planning.settings import SegSettings

STAGES_KEPT_BACK = {"network": 0, "all_but_last_stage": 1, "all_but_last_two_stages": 2}
"""How many of the decoder's last stages are not handed over; ``encoder`` hands over none of them."""


def keys_handed_over(network: nn.Module, settings: SegSettings, channels: int, patch_size: Sequence[int]) -> set[str]:
    """Keys of the state dict that the plan hands over, output layers aside.

    Args:
        settings: ``lwi.seg``, of which ``hand_over`` counts.
        channels: C, of the image.
        patch_size: (D, H, W).
    """
    if settings.hand_over == "encoder":
        return keys_of_encoder(network)
    kept_back = STAGES_KEPT_BACK[settings.hand_over]
    return set(network.state_dict()) - keys_of_last_stages(network, kept_back, channels, patch_size)


def keys_of_encoder(network: nn.Module) -> set[str]:
    """Keys whose tensors are the encoder's, also by another name: nnU-Net's decoders hold the encoder too."""
    encoder: nn.Module = network.encoder  # type: ignore[assignment]
    own = {id(tensor) for _, tensor in _tensors(encoder)}
    return {name for name, tensor in _tensors(network) if id(tensor) in own} & network.state_dict().keys()


def keys_of_last_stages(network: nn.Module, stages: int, channels: int, patch_size: Sequence[int]) -> set[str]:
    """Keys of the decoder's blocks whose outputs have the largest sizes, as many sizes as there are ``stages``.

    Output layers are no stage, where one alone works at full resolution, but come with the last one.
    """
    if stages == 0:
        return set()
    of_encoder = keys_of_encoder(network)
    sizes = {
        key: size
        for key, size in _output_sizes(network, channels, patch_size).items()
        if key.startswith("decoder.") and key not in of_encoder
    }
    of_stages = {size for key, size in sizes.items() if OUTPUT_LAYERS not in key}
    smallest = min(sorted(of_stages)[-stages:], default=0)
    return {key for key, size in sizes.items() if size >= smallest}


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers, by every name."""
    return chain(module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False))


def _output_sizes(network: nn.Module, channels: int, patch_size: Sequence[int]) -> dict[str, int]:
    """Voxels of the output of the innermost block with a tensor, by the tensor's key; blocks that give volumes count."""
    voxels: dict[nn.Module, int] = {}

    def note(module: nn.Module, volume: Tensor) -> None:
        voxels[module] = volume[0, 0].numel()

    with watching_volumes(network, note):
        run_on_shapes(network, channels, patch_size)
    modules = dict(network.named_modules(remove_duplicate=False))
    sizes = {}
    for key in network.state_dict():
        name = key
        while name and modules.get(name) not in voxels:
            name = name.rpartition(".")[0]
        sizes[key] = voxels.get(modules[name], 0)
    return sizes
