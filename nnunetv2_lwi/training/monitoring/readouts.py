"""A linear probe now and then while step 1 trains: its losses do not say what a segmentation will find in its features."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from math import isnan
from typing import Any

import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from nnunetv2_lwi.method.stage_probe import BRIEF, StageProbe, mean_area
from nnunetv2_lwi.names import FITTED_CASES, TESTED_CASES
from nnunetv2_lwi.planning.configuration import label_manager

PROBES_IN_A_TRAINING = 5


class TrainingProbe:
    """Labels of a few of the fold's cases are read for the log's line, and for nothing else.

    Args:
        cases: of training and of validation, preprocessed; what is fitted to is not tested on.

    Raises:
        UserError: there are too few cases.
    """

    def __init__(
        self,
        plans: PlansManager,
        dataset_json: dict[str, Any],
        configuration: ConfigurationManager,
        dataset: type[nnUNetBaseDataset],
        folder: str,
        cases: tuple[list[str], list[str]],
    ) -> None:
        classes = [label for label in label_manager(plans.plans, dataset_json).all_labels if label != 0]
        train, val = cases
        fitted = sorted(train)[:FITTED_CASES]
        tested = sorted(set(val) - set(fitted))[:TESTED_CASES]
        self.probe = StageProbe(
            configuration.patch_size,
            configuration.batch_size,
            classes,
            lambda case: dataset(folder, [case]),
            fitted,
            tested,
            BRIEF,
        )

    def line(
        self, network: nn.Module, device: torch.device, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> str | None:
        """Mean AUC by stage, of those whose resolution shows a class; None where the cases have no label."""
        areas = {stage: mean_area(area) for stage, area in self.probe.areas(network, device, autocast).items()}
        defined = [f"{stage} {area:.3f}" for stage, area in areas.items() if not isnan(area)]
        return ", ".join(defined) or None
