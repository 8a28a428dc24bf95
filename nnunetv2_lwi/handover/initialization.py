"""Data-independent initialisation schemes, the baselines of the paper's Fig. 1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SCHEMES: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "kaiming_normal": nn.init.kaiming_normal_,
    "trunc_normal": lambda weight: nn.init.trunc_normal_(weight, std=0.02),
}
"""As named in ``lwi.seg.initialization``; ``network`` is none of them and leaves the network's own."""

WEIGHTED = (nn.Linear, nn.Conv3d, nn.ConvTranspose3d)


def initialize(network: nn.Module, scheme: str) -> None:
    """Draw the weights of every linear layer and convolution anew; their biases become 0, norms stay as they are.

    torch's generator is left as it was: trainings of one seed see the same batches whatever they start from.
    """
    if scheme == "network":
        return
    with torch.random.fork_rng(devices=[]):
        for module in network.modules():
            if isinstance(module, WEIGHTED):
                SCHEMES[scheme](module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
