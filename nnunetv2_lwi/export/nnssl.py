"""Step 1 in the form of nnssl (https://github.com/MIC-DKFZ/nnssl), as nnU-Net's nnUNetv2_train_pretrained loads it.

The file holds ``network_weights`` and, under ``nnssl_adaptation_plan``, how the network was built, on which patch and
spacing it was trained and where its encoder and its first layers stand among the weights. nnU-Net takes the encoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.export.destination import writing
from nnunetv2_lwi.export.source import Source
from nnunetv2_lwi.handover.plain import plain
from nnunetv2_lwi.names import STEP1_TRAINER

NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet")
"""Those that both sides build by a plan's arguments; they go by these names there."""
SPACING_STYLE = "median"
"""nnssl's word for a spacing that was planned from the data's."""
CITATIONS = [
    {
        "type": "Pretraining method",
        "name": "Learnable weight initialization",
        "apa_citations": [
            "Kunhimon, S., Shaker, A., Naseer, M., Khan, S., & Khan, F. S. (2024). Learnable weight initialization for "
            "volumetric medical image segmentation. Artificial Intelligence in Medicine, 151, 102863."
        ],
    }
]


def export_nnssl(source: Source, path: Path) -> None:
    """Write the checkpoint: plain values and tensors, for ``torch.load(weights_only=True)``.

    The weights are those that start step 2, so that ``-pretrained_weights`` takes the file too.

    Raises:
        UserError: the network is none that nnU-Net builds there; nothing is written.
    """
    checkpoint = {
        "network_weights": source.step1.weights,
        "nnssl_adaptation_plan": adaptation_plan(source),
        "citations": CITATIONS,
        "trainer_name": f"{STEP1_TRAINER}, exported",
        "nnunetv2_lwi": source.metadata(),
    }
    with writing(path) as file:
        torch.save(plain(checkpoint), file)


def adaptation_plan(source: Source) -> dict[str, Any]:
    """What nnssl's AdaptationPlan serialises to, and ``architecture_kwargs``, which nnU-Net's dynamic trainer asks for.

    Raises:
        UserError: as :func:`export_nnssl`.
    """
    network: Any = source.network
    architecture = source.step1.digest["architecture"]
    package, _, name = architecture["network_class_name"].rpartition(".")
    if name not in NETWORKS or not package.startswith("dynamic_network_architectures."):
        raise UserError(
            f"nnU-Net's nnUNetv2_train_pretrained cannot build {architecture['network_class_name']}, only "
            f"{' and '.join(NETWORKS)} by a plan's arguments: export --as encoder, or give checkpoint_final.pth itself to "
            "people with this package."
        )
    return {
        "architecture_plans": {
            "arch_class_name": name,
            "arch_kwargs": architecture["arch_kwargs"],
            "arch_kwargs_requiring_import": architecture["_kw_requires_import"],
        },
        "architecture_kwargs": architecture["arch_kwargs"],
        "pretrain_plan": pretrain_plan(source),
        "pretrain_num_input_channels": source.channels,
        "recommended_downstream_patchsize": source.step1.digest["patch_size"],
        "key_to_encoder": network.key_to_encoder,
        "key_to_stem": network.key_to_stem,
        "keys_to_in_proj": list(network.keys_to_in_proj),
        "key_to_lpe": None,
    }


def pretrain_plan(source: Source) -> dict[str, Any]:
    """The plan as nnssl's ``Plan`` has it, with one configuration."""
    plans, configuration = source.plans, source.configuration.configuration
    of_plans = (
        "dataset_name", "plans_name", "original_median_spacing_after_transp", "image_reader_writer", "transpose_forward",
        "transpose_backward", "experiment_planner_used",
    )  # fmt: skip
    of_configuration = (
        "data_identifier", "preprocessor_name", "normalization_schemes", "use_mask_for_norm", "resampling_fn_data",
        "resampling_fn_data_kwargs", "spacing", "patch_size",
    )  # fmt: skip
    one = {key: configuration[key] for key in of_configuration} | {
        "spacing_style": SPACING_STYLE,
        "resampling_fn_mask": configuration["resampling_fn_seg"],
        "resampling_fn_mask_kwargs": configuration["resampling_fn_seg_kwargs"],
    }
    return {key: plans.get(key) for key in of_plans} | {"configurations": {source.step1.provenance["configuration"]: one}}
