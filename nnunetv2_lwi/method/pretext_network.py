"""The network of step 1: nnU-Net's network of the plan, with order heads beside its decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor, nn

from nnunetv2_lwi.method.levels import Level, choose_order_levels, count_slabs, measure_levels
from nnunetv2_lwi.method.order_heads import OrderHeads
from nnunetv2_lwi.networks.build import build_network
from nnunetv2_lwi.networks.dry_run import parameters_without_gradient
from nnunetv2_lwi.planning.settings import LWISettings


class PretextOutput(NamedTuple):
    """What step 1's network says of a masked, shuffled batch."""

    order_logits: list[Tensor]
    """One (N, B, B) per head; empty without order prediction."""
    reconstruction: Tensor | None
    """(N, C, D, H, W); None without reconstruction."""
    coarse: Sequence[Tensor] = ()
    """Reconstructions at lower resolutions, (N, C, D_i, H_i, W_i), where they are asked for."""


class PretextNetwork(nn.Module):
    """encoder -> order heads; decoder -> reconstruction.

    Its state dict is that of the wrapped network alone, key for key, so that nnU-Net's own code saves a checkpoint
    that the stock ``-pretrained_weights`` accepts, and can load one into step 1. The heads' state is
    ``order_heads.state_dict()``.

    Args:
        network: what nnU-Net builds from the plan with one output per image channel.
        levels: what the encoder hands to the decoder.
        slabs: B; 1 without order prediction.
        at_every_output: reconstruct at lower resolutions too, where the network has outputs there.
    """

    def __init__(
        self,
        network: nn.Module,
        levels: Sequence[Level],
        order_heads: OrderHeads,
        slabs: int,
        reconstructs: bool,
        at_every_output: bool = False,
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.network = network
        self.order_heads = order_heads
        self.slabs = slabs
        self.reconstructs = reconstructs
        self.at_every_output = at_every_output
        network.decoder.deep_supervision = at_every_output  # type: ignore[union-attr,assignment]

    @classmethod
    def around(cls, network: nn.Module, settings: LWISettings, channels: int, patch_size: Sequence[int]) -> PretextNetwork:
        """Measure the network, give it its heads, and freeze what step 1 does not train.

        Without that, DistributedDataParallel stops at parameters that get no gradient: the lower output layers, the
        whole decoder where nothing is reconstructed.
        """
        levels = measure_levels(network.encoder, channels, patch_size)  # type: ignore[arg-type]
        slabs = count_slabs(settings, levels, patch_size[0])
        heads = OrderHeads(choose_order_levels(settings, network, levels, slabs), slabs, settings.order_heads)
        several = getattr(network, "supports_deep_supervision", True) and settings.reconstruction_outputs == "all"
        pretext = cls(network, levels, heads, slabs, settings.reconstructs, several)
        unused = set(parameters_without_gradient(pretext, channels, patch_size))
        for name, parameter in pretext.named_parameters():
            parameter.requires_grad_(name not in unused)
        return pretext

    def forward(self, masked: Tensor) -> PretextOutput:
        """Predict the order and the shuffled volume from X'', (N, C, D, H, W).

        The heads come first: their backward pass then comes last. The other way round, gradients as large as the skips
        would wait beside the decoder's for as long as its backward pass takes.
        """
        skips = self.network.encoder(masked)  # type: ignore[operator]
        order_logits = self.order_heads(skips)
        if not self.reconstructs:
            return PretextOutput(order_logits, None)
        decoded = self.network.decoder(skips)  # type: ignore[operator]
        full, *coarse = decoded if isinstance(decoded, (list, tuple)) else [decoded]
        return PretextOutput(order_logits, full, coarse)

    @property
    def chance(self) -> float:
        """Order accuracy of guessing."""
        return 1 / self.slabs

    def levels_without_head(self) -> list[Level]:
        """Levels that are not offered by the network or the plan, or whose depth is no multiple of B."""
        return [level for level in self.levels if level not in self.order_heads.levels]

    def untrained_keys(self) -> list[str]:
        """Parameters of the wrapped network that step 1 leaves as they were drawn."""
        return [name for name, parameter in self.network.named_parameters() if not parameter.requires_grad]

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The wrapped network's, as nnU-Net would save it."""
        return self.network.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Into the wrapped network."""
        return self.network.load_state_dict(state_dict, *args, **kwargs)


def build_pretext_network(configuration: ConfigurationManager, channels: int, settings: LWISettings) -> PretextNetwork:
    """The network that nnU-Net builds from the plan, with one output per image channel, wrapped for step 1.

    Raises:
        UserError: the network, its levels or B do not allow step 1.
    """
    network = build_network(configuration, channels, channels)
    return PretextNetwork.around(network, settings, channels, configuration.patch_size)
