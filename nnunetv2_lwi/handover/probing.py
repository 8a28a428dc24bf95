"""What step 1 learned for a segmentation: a linear probe of its weights, of what starts step 2, and of a random start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nnunetv2_lwi.handover.step1 import Step1
from nnunetv2_lwi.handover.transfer import overwrite
from nnunetv2_lwi.method.stage_probe import SEED, OpenCase, StageOutcome, StageProbe
from nnunetv2_lwi.networks.build import build_network
from nnunetv2_lwi.planning.configuration import count_channels, label_manager, resolve_configuration

STEP1, STEP2, RANDOM = "step 1", "start of step 2", "random"
"""As step 1 left the network; as its checkpoint starts step 2, parts that are not handed over as drawn; as drawn."""


@dataclass(frozen=True)
class Probed:
    """What a probe found of one stage.

    Attributes:
        classes: labels.
        by_start: what the probe found, by start.
    """

    stage: str
    classes: Sequence[int]
    by_start: dict[str, StageOutcome]


def probe_step1(
    step1: Step1,
    plans: dict[str, Any],
    configuration: str,
    dataset_json: dict[str, Any],
    open_case: OpenCase,
    fitted: Sequence[str],
    tested: Sequence[str],
    device: torch.device = torch.device("cpu"),  # noqa: B008
) -> list[Probed]:
    """Fit a readout of every stage on some cases and test it on others, for step 1's weights and for random ones.

    What step 2 starts from is a start of its own where it is not all that step 1 trained.

    Args:
        open_case: a data set that holds the case, preprocessed.
        fitted: cases to fit on, labelled.
        tested: others.
        device: where the networks run; readouts are fitted on the CPU.

    Raises:
        UserError: there are no cases.
    """
    resolved = resolve_configuration(plans, configuration)
    channels = count_channels(plans, resolved, dataset_json)
    classes = [label for label in label_manager(plans, dataset_json).all_labels if label != 0]
    probe = StageProbe(resolved.patch_size, resolved.batch_size, classes, open_case, fitted, tested)
    starts = {STEP1: step1.trained, STEP2: step1.weights if step1.kept_back else None, RANDOM: {}}
    found: dict[str, dict[str, StageOutcome]] = {}
    for start, weights in starts.items():
        if weights is None:
            continue
        torch.manual_seed(SEED)
        network = build_network(resolved, channels, channels)
        overwrite(network, weights)
        found[start] = probe(network.to(device), device)
    return [Probed(stage, classes, {start: outcomes[stage] for start, outcomes in found.items()}) for stage in found[STEP1]]
