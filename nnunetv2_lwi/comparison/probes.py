"""What a finished step 1 learned for a segmentation, by linear probes, as a column beside what came of it."""

from __future__ import annotations

import torch
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

from nnunetv2_lwi.comparison.workplace import Workplace
from nnunetv2_lwi.handover.probing import RANDOM, STEP1, probe_step1
from nnunetv2_lwi.handover.step1 import read_step1
from nnunetv2_lwi.names import FINAL, FITTED_CASES, TESTED_CASES

Areas = dict[str, dict[str, float]]
"""Area under the ROC curve, mean over classes, by stage and start."""
STARTS = (STEP1, RANDOM)


def probe(place: Workplace, device: str) -> Areas:
    """Of a finished step 1: fitted on some of the training cases that it saw, tested on validation cases.

    Args:
        device: where the network runs.

    Raises:
        UserError: there are no such cases.
    """
    folder = str(place.dataset / place.training.configuration["data_identifier"])
    dataset = infer_dataset_class(folder)
    probed = probe_step1(
        read_step1(place.fold_folder / FINAL),
        place.plans(),
        place.configuration_name,
        place.source.dataset_json,
        lambda case: dataset(folder, [case]),
        sorted(place.training.train_cases)[:FITTED_CASES],
        sorted(place.training.val_cases)[:TESTED_CASES],
        torch.device(device),
    )
    return {one.stage: {start: one.by_start[start].mean_area for start in STARTS} for one in probed}
