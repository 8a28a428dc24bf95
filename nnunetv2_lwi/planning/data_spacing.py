"""Whether preprocessed data are of the plan: nothing of nnU-Net's compares them, and a plan may be copied, or made again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

from nnunetv2_lwi.errors import UserError

SHAPE = "shape_after_cropping_and_before_resampling"
RESAMPLERS = ("resample_data_or_seg_to_shape", "resample_torch_simple", "resample_torch_fornnunet")
"""nnU-Net's, which bring an image to the shape that they are asked for; its no_resampling_hack leaves it as it is."""
LOOKED_AT = 3
"""Cases, spread over the list: some may round to the same shape at another spacing."""


def require_spacing_of_plan(folder: Path, plans: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    """By the shapes of a few cases, where nnU-Net's own preprocessor made them and says from which.

    Args:
        folder: of the preprocessed cases.
        configuration: resolved.

    Raises:
        UserError: they were resampled to another spacing than the plan's.
    """
    if (
        configuration.get("preprocessor_name") != "DefaultPreprocessor"
        or configuration.get("resampling_fn_data") not in RESAMPLERS
    ):
        return
    dataset = infer_dataset_class(str(folder))(str(folder))
    names = sorted(dataset.identifiers)
    for name in names[:: max(1, len(names) // LOOKED_AT)][:LOOKED_AT]:
        image, *_, properties = dataset.load_case(name)
        if SHAPE not in properties:
            continue
        spacing = [properties["spacing"][axis] for axis in plans["transpose_forward"]]
        expected = [int(edge) for edge in compute_new_shape(properties[SHAPE], spacing, configuration["spacing"])]
        if list(image.shape[1:]) != expected:
            raise UserError(
                f"The preprocessed data in {folder} are of another spacing than plans {plans['plans_name']}: case {name} "
                f"has the shape {list(image.shape[1:])}, at {configuration['spacing']} mm it would have {expected}. "
                "Preprocess anew (nnUNetv2_preprocess), or make the plans anew from those that the data are of."
            )
