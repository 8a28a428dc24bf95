"""Forward and backward pass of our UNETR and Swin-UNETR against MONAI's own networks, at the published widths."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.networks import nets
from torch import nn

from benchmarks.measure import Comparison, Findings, compare
from nnunetv2_lwi.networks import UNETR, SwinUNETR

CLASSES = 14
GOAL = 1.05
UNETR_PATCH = (48, 48, 48)
SWIN_PATCH = (64, 32, 32)
"""Smaller than published (96 x 96 x 96), so that two cores do both in a minute and a half."""


def compare_networks(device: torch.device) -> Findings:
    """One comparison per network, on one sample. Weights are random: what a pass costs does not depend on them."""
    unetrs = UNETR(1, CLASSES, UNETR_PATCH), nets.UNETR(in_channels=1, out_channels=CLASSES, img_size=UNETR_PATCH)
    swins = SwinUNETR(1, CLASSES, SWIN_PATCH), nets.SwinUNETR(in_channels=1, out_channels=CLASSES, feature_size=48)
    return Findings(
        [
            compare_passes("UNETR", *unetrs, UNETR_PATCH, device),
            compare_passes("Swin-UNETR", *swins, SWIN_PATCH, device),
        ]
    )


def compare_passes(
    name: str, ours: nn.Module, monais: nn.Module, patch: tuple[int, int, int], device: torch.device
) -> Comparison:
    """Time two networks on the same image."""
    image = torch.randn(1, 1, *patch, device=device)
    title = f"forward and backward, {name}, 1 x {'x'.join(map(str, patch))}"
    passes = [make_pass(network.to(device), image) for network in (ours, monais)]
    return compare(title, ("nnunetv2_lwi", passes[0]), ("MONAI", passes[1]), goal=GOAL)


def make_pass(network: nn.Module, image: torch.Tensor) -> Callable[[], None]:
    """A function that runs a network once there and back."""

    def run() -> None:
        network.zero_grad(set_to_none=True)
        network(image).square().mean().backward()

    return run
