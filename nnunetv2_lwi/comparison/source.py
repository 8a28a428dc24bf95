"""What a comparison reads of the user's: preprocessed data, plans, split and raw images. Nothing there is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.evaluation.evaluate_predictions import label_or_region_to_key
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class, nnUNetDatasetBlosc2
from nnunetv2.utilities.crossval_split import generate_crossval_split
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_lwi.datasets.dice import keys_by_name
from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.nnunet.dataset_json import CHANNELS, channel_names
from nnunetv2_lwi.nnunet.split_file import FOLDS, SPLIT_FILE, read_splits, require_cases
from nnunetv2_lwi.unlabelled.folder import UnlabelledFolder
from nnunetv2_lwi.unlabelled.selection import usable_scans

NNUNET_SPLIT_SEED = 12345
OF_DATASET_JSON = (*CHANNELS, "labels", "regions_class_order", "file_ending")
"""What a training depends on; the number of cases, say, is the split's affair."""


@dataclass(frozen=True)
class LabelledImages:
    """Raw images with their labels, by case."""

    images: dict[str, list[str]]
    labels: dict[str, str]

    def digest(self, case: str) -> str:
        """Of the label file and the size of the images: a corrected case has another."""
        images = [Path(path).stat().st_size for path in self.images.get(case, ())]
        return sha256(f"{images} {digest_of_file(Path(self.labels[case]))}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Fingerprint:
    """What tells two states of a data set and its plans apart, in a few bytes.

    Attributes:
        names: data set, plans without their configurations, name of the configuration and what counts of dataset.json.
        images: bytes of each case's preprocessed image. Files are compressed, so that other intensities have another
            size nearly always.
        labels: gives a digest of a case's preprocessed labels. Their file may keep its size when classes are swapped.
    """

    names: dict[str, Any]
    images: Mapping[str, int]
    labels: Callable[[str], str]

    def of(self, cases: Sequence[str], with_labels: bool) -> dict[str, Any]:
        """As plain JSON; step 1 depends on no labels."""
        images = {case: self.images[case] for case in sorted(cases)}
        labels = {"labels": {case: self.labels(case) for case in sorted(cases)}} if with_labels else {}
        return {**self.names, "images": images, **labels}


@dataclass(frozen=True)
class Source:
    """A data set as nnU-Net's folders hold it.

    Attributes:
        preprocessed: its folder in nnUNet_preprocessed.
        raw: its folder in nnUNet_raw, or None.
    """

    preprocessed: Path
    raw: Path | None
    plans: dict[str, Any]
    dataset_json: dict[str, Any]

    @property
    def name(self) -> str:
        """DatasetXXX_Name."""
        return self.preprocessed.name

    @property
    def file_ending(self) -> str:
        """Of raw images and labels."""
        return str(self.dataset_json["file_ending"])

    @property
    def label_manager(self) -> LabelManager:
        """nnU-Net's."""
        return PlansManager(self.plans).get_label_manager(self.dataset_json)

    def class_names(self) -> dict[str, str]:
        """The name of each foreground label or region, by its key in nnU-Net's summary.json."""
        manager = self.label_manager
        foreground = manager.foreground_regions if manager.has_regions else manager.foreground_labels
        summary = {"mean": {label_or_region_to_key(label): None for label in foreground}}
        return {key: name for name, key in keys_by_name(summary, self.dataset_json["labels"]).items()}

    def split(self, configuration: dict[str, Any], fold: int) -> tuple[list[str], list[str]]:
        """Training and validation cases: the user's ``splits_final.json``, or what nnU-Net would write there.

        Raises:
            UserError: there is no such fold, too few cases for nnU-Net's own split, or they are in its older format, which
                it would unpack in the user's folder (and where torch 2.14 writes into memory maps that are read-only).
        """
        folder = str(self.preprocessed / configuration["data_identifier"])
        if infer_dataset_class(folder) is not nnUNetDatasetBlosc2:
            raise UserError(
                f"{folder} holds .npz files, nnU-Net's older format, which it would unpack there, and your folders are only "
                "read: run nnUNetv2_preprocess again."
            )
        identifiers = sorted(infer_dataset_class(folder).get_identifiers(folder))
        path, splits = self.preprocessed / SPLIT_FILE, read_splits(self.preprocessed)
        if not splits and len(identifiers) < FOLDS:
            raise UserError(f"{folder} has {len(identifiers)} cases, too few for nnU-Net's five folds: write {path}.")
        splits = splits or generate_crossval_split(identifiers, seed=NNUNET_SPLIT_SEED, n_splits=FOLDS)
        if fold >= len(splits):
            raise UserError(f"-f {fold}: {path} has {len(splits)} folds, 0 to {len(splits) - 1}.")
        train, val = ([str(case) for case in splits[fold][part]] for part in ("train", "val"))
        require_cases(train, val, identifiers, folder)
        repeated = sorted(case for case, times in Counter([*train, *val]).items() if times > 1)
        if repeated:
            raise UserError(
                f"{path} names {len(repeated)} cases more than once in fold {fold}: {shortened(repeated)}. What "
                "trains cannot validate; name each case once."
            )
        return train, val

    def fingerprint(self, configuration_name: str, configuration: Mapping[str, Any]) -> Fingerprint:
        """Of the preprocessed data that the configuration names."""
        folder = self.preprocessed / configuration["data_identifier"]
        names = {
            "dataset": self.name,
            "dataset_json": {key: self.dataset_json[key] for key in OF_DATASET_JSON if key in self.dataset_json},
            "plans": {key: value for key, value in self.plans.items() if key != "configurations"},
            "configuration_name": configuration_name,
        }
        dataset = infer_dataset_class(str(folder))(str(folder))
        images = {case: (folder / f"{case}.b2nd").stat().st_size for case in dataset.identifiers}
        return Fingerprint(names, images, lambda case: digest_of_labels(folder, case))

    def scans(self, configuration: Mapping[str, Any]) -> dict[str, int]:
        """Scans without labels beside the preprocessed data that the configuration names, with the bytes of each.

        Raises:
            UserError: they were preprocessed by another plan.
        """
        folder = UnlabelledFolder.beside(self.preprocessed, configuration["data_identifier"])
        names = usable_scans(folder, folder.read(), self.plans, configuration)
        return {name: sum(path.stat().st_size for path in folder.image_files(name)) for name in names}

    @cached_property
    def training_images(self) -> LabelledImages | None:
        """Raw training images, or None where the raw data set is not at hand."""
        if self.raw is None or not ("dataset" in self.dataset_json or (self.raw / "imagesTr").is_dir()):
            return None
        found = get_filenames_of_train_images_and_targets(str(self.raw), deepcopy(self.dataset_json))
        return LabelledImages(
            {case: files["images"] for case, files in found.items()}, {case: files["label"] for case, files in found.items()}
        )

    @cached_property
    def test_images(self) -> LabelledImages | None:
        """Raw images in imagesTs that have a label in labelsTs, or None if there are none."""
        files = {case: files for case, files in self._tests().items() if all(path.is_file() for path in files)}
        if not files:
            return None
        return LabelledImages(
            {case: [str(path) for path in images] for case, (_, *images) in files.items()},
            {case: str(label) for case, (label, *_) in files.items()},
        )

    def incomplete_tests(self) -> dict[str, str]:
        """By case with a label in labelsTs, the first of its images that is not in imagesTs: it is not scored."""
        first = {case: next((path for path in files if not path.is_file()), None) for case, files in self._tests().items()}
        return {case: path.name for case, path in first.items() if path is not None}

    def _tests(self) -> dict[str, list[Path]]:
        """By case of labelsTs, its label and where its channels should be."""
        if self.raw is None:
            return {}
        ending = self.file_ending
        channels = len(channel_names(self.dataset_json))
        files = [path for path in sorted((self.raw / "labelsTs").glob(f"*{ending}")) if not path.name.startswith(".")]
        labels = {path.name.removesuffix(ending): path for path in files}
        images = self.raw / "imagesTs"
        return {
            case: [label, *(images / f"{case}_{c:04d}{ending}" for c in range(channels))] for case, label in labels.items()
        }


def digest_of_file(path: Path) -> str:
    """Read again only when the file has changed."""
    state = path.stat()
    return _digest_of_file(path, state.st_size, state.st_mtime_ns)


@cache
def _digest_of_file(path: Path, size: int, time: int) -> str:
    return sha256(path.read_bytes()).hexdigest()


def digest_of_labels(folder: Path, case: str) -> str:
    """Of the voxels: equal labels may be compressed into other bytes. Read again only when the file has changed."""
    state = (folder / f"{case}_seg.b2nd").stat()
    return _digest_of_labels(str(folder), case, state.st_size, state.st_mtime_ns)


@cache
def _digest_of_labels(folder: str, case: str, size: int, time: int) -> str:
    labels = np.ascontiguousarray(infer_dataset_class(folder)(folder, [case]).load_case(case)[1][:])
    return sha256(f"{labels.shape} {labels.dtype}".encode() + labels.tobytes()).hexdigest()[:16]
