"""Step 2 as a model of stock nnU-Net: a zip that nnUNetv2_install_pretrained_model_from_zip installs.

nnU-Net's own export writes a trained folder as it lies on the disk, under the name of its trainer. Here the trainer becomes
nnU-Net's own, in the folder's name and in every checkpoint, and names of cases stay behind; the files are otherwise those
that nnU-Net's export takes, at the same places (a test compares them).
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import torch
from nnunetv2.utilities.file_path_utilities import folds_tuple_to_string
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunetv2_lwi.disk import read_json
from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.export import nameless
from nnunetv2_lwi.export.destination import writing
from nnunetv2_lwi.export.finished import FinishedTraining
from nnunetv2_lwi.export.packages import packages_beside_nnunet
from nnunetv2_lwi.handover.checkpoint import LWI_KEY, read_checkpoint
from nnunetv2_lwi.handover.plain import plain
from nnunetv2_lwi.handover.provenance import read_versions
from nnunetv2_lwi.handover.suitability import require_run
from nnunetv2_lwi.handover.transfer import misfits
from nnunetv2_lwi.names import STEP2_TRAINER
from nnunetv2_lwi.networks.build import build_network, telling_what_cannot_be_built
from nnunetv2_lwi.networks.dry_run import on_shapes
from nnunetv2_lwi.planning.configuration import count_channels, label_manager, resolve_configuration

STOCK_TRAINER = "nnUNetTrainer"
OF_NNUNET = (
    "network_weights", "grad_scaler_state", "logging", "_best_ema", "current_epoch", "inference_allowed_mirroring_axes",
)  # fmt: skip
"""Keys of a checkpoint that go into the zip as they are."""
PICTURES = ("progress.png", "network_architecture.pdf")
OF_POSTPROCESSING = ("postprocessing.pkl", "postprocessing.json")
AGAIN = "train again, or take the file from a copy of the folder"


def export_model(training: FinishedTraining, path: Path, needs_package: bool = False) -> list[str]:
    """Write the zip.

    Args:
        training: of nnUNetTrainerLWISeg.
        needs_package: whether the network may come from a package that nnU-Net does not bring.

    Returns:
        The packages that predicting needs beside nnU-Net.

    Raises:
        UserError: the network does, or a file of the training is missing, damaged or of another network; there is no new
            zip then, and the old one stands.
    """
    plans = read_json(training.folder / "plans.json", AGAIN)
    dataset_json = read_json(training.folder / "dataset.json", AGAIN)
    configuration = resolve_configuration(plans, training.configuration)
    packages = packages_beside_nnunet(configuration.configuration["architecture"])
    if packages and not needs_package:
        raise UserError(
            f"The network {configuration.network_arch_class_name} is not one of nnU-Net's own: whoever predicts needs "
            f"{' and '.join(packages)} installed. If that is meant, append --needs-package."
        )
    network = _network_on_shapes(plans, configuration, dataset_json)
    root = f"{training.dataset_name}/{training.name_under(STOCK_TRAINER)}"
    with writing(path) as file, ZipFile(file, "w", ZIP_DEFLATED, strict_timestamps=False) as archive:
        for fold in training.folds:
            _add_fold(archive, f"{root}/fold_{fold}", training, fold, network)
        _add_cross_validation(archive, root, training)
        _add_json(archive, f"{root}/plans.json", plans)
        _add_json(archive, f"{root}/dataset.json", nameless.description(dataset_json))
        _add_if_there(archive, f"{root}/dataset_fingerprint.json", training.folder / "dataset_fingerprint.json")
    return packages


def stock_checkpoint(content: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint of step 2 as nnUNetTrainer would have written it.

    The optimiser's momenta are left out, which are as large as the weights: the training is finished.

    Args:
        content: of the checkpoint, read.
    """
    ours, arguments = content[LWI_KEY], content["init_args"]
    stock = {key: content[key] for key in OF_NNUNET} | {
        "optimizer_state": {**content["optimizer_state"], "state": {}},
        "init_args": {**arguments, "dataset_json": nameless.description(arguments["dataset_json"])},
        "trainer_name": STOCK_TRAINER,
        LWI_KEY: {
            "exported_from": content["trainer_name"],
            "start": nameless.start(ours["start"]),
            "versions": read_versions(),
        },
    }
    return dict(plain(stock))


def _network_on_shapes(
    plans: dict[str, Any], configuration: ConfigurationManager, dataset_json: dict[str, Any]
) -> nn.Module:
    channels = count_channels(plans, configuration, dataset_json)
    classes = label_manager(plans, dataset_json).num_segmentation_heads
    with telling_what_cannot_be_built(configuration):
        return on_shapes(lambda: build_network(configuration, channels, classes))


def _add_fold(archive: ZipFile, place: str, training: FinishedTraining, fold: int | str, network: nn.Module) -> None:
    path = training.checkpoint(fold)
    content = read_checkpoint(path)
    require_run(path, content, STEP2_TRAINER)
    problems = misfits(content["network_weights"], network, with_output_layers=True)
    if problems:
        raise UserError(
            f"{path} does not fit the network of {training.folder / 'plans.json'}, which nnU-Net predicts with: "
            f"{shortened(problems)}. Export folds of the same plans together."
        )
    buffer = io.BytesIO()
    torch.save(stock_checkpoint(content), buffer)
    archive.writestr(f"{place}/{training.checkpoint_name}", buffer.getbuffer())
    for name in PICTURES:
        _add_if_there(archive, f"{place}/{name}", training.fold_folder(fold) / name)
    _add_scores(archive, f"{place}/validation/summary.json", training.fold_folder(fold) / "validation" / "summary.json")


def _add_cross_validation(archive: ZipFile, root: str, training: FinishedTraining) -> None:
    """What nnUNetv2_find_best_configuration found of these folds together."""
    name = f"crossval_results_folds_{folds_tuple_to_string(training.folds)}"
    _add_scores(archive, f"{root}/{name}/summary.json", training.folder / name / "summary.json")
    for file in OF_POSTPROCESSING:
        _add_if_there(archive, f"{root}/{name}/{file}", training.folder / name / file)


def _add_scores(archive: ZipFile, place: str, path: Path) -> None:
    if path.is_file():
        _add_json(archive, place, nameless.scores(read_json(path, "validate again (nnUNetv2_train ... --val)")))


def _add_json(archive: ZipFile, place: str, content: Mapping[str, Any]) -> None:
    archive.writestr(place, json.dumps(content, indent=4))


def _add_if_there(archive: ZipFile, place: str, path: Path) -> None:
    if path.is_file():
        archive.write(path, place)
