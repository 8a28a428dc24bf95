"""A finished step 1 with the plans that it was trained by, as its checkpoint holds both, and what is told of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.export import nameless
from nnunetv2_lwi.handover.checkpoint import read_checkpoint
from nnunetv2_lwi.handover.step1 import Step1, require_step1
from nnunetv2_lwi.handover.transfer import misfits
from nnunetv2_lwi.networks.build import build_network, telling_what_cannot_be_built
from nnunetv2_lwi.networks.dry_run import on_shapes
from nnunetv2_lwi.planning.configuration import resolve_configuration


@dataclass(frozen=True)
class Source:
    """What is exported of a step 1.

    Attributes:
        plans: as it was trained by, whatever the plans file says today.
        network: of the plan, on shapes alone: its weights are those of ``step1``.
    """

    step1: Step1
    plans: dict[str, Any]
    configuration: ConfigurationManager
    network: nn.Module

    @property
    def channels(self) -> int:
        """Image channels, C."""
        return int(self.step1.digest["image_channels"])

    def metadata(self) -> dict[str, Any]:
        """What somebody has to know who uses the weights without this package; plain values, no names of cases."""
        digest, configuration = self.step1.digest, self.configuration.configuration
        architecture = digest["architecture"]
        return {
            "network_class": architecture["network_class_name"],
            "arguments": architecture["arch_kwargs"],
            "arguments_to_import": architecture["_kw_requires_import"],
            "image_channels": self.channels,
            "patch_size": digest["patch_size"],
            "spacing": digest["spacing"],
            "transpose_forward": self.plans["transpose_forward"],
            "normalization_schemes": configuration["normalization_schemes"],
            "intensities": self.plans.get("foreground_intensity_properties_per_channel"),
            "step1": digest["lwi"],
            "digest": sha256(json.dumps(digest, sort_keys=True).encode()).hexdigest(),
            "provenance": nameless.provenance(self.step1.provenance),
        }


def read_source(path: Path) -> Source:
    """Read a step 1.

    Raises:
        UserError: it cannot be read, is no step 1, or its weights are not those of its plan.
    """
    checkpoint = read_checkpoint(path)
    step1, arguments = require_step1(path, checkpoint), checkpoint["init_args"]
    plans = arguments["plans"]
    configuration = resolve_configuration(plans, arguments["configuration"])
    channels = int(step1.digest["image_channels"])
    with telling_what_cannot_be_built(configuration):
        network = on_shapes(lambda: build_network(configuration, channels, channels))
    problems = misfits(step1.weights, network)
    if problems:
        raise UserError(f"{path} is damaged, its weights are not those of its plan: {problems[0]}. Train again.")
    return Source(step1, plans, configuration, network)
