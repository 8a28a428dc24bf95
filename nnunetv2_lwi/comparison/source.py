"""What a comparison reads of the user's: preprocessed data, plans, split and raw images. Nothing there is changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.evaluation.evaluate_predictions import label_or_region_to_key
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.crossval_split import generate_crossval_split
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_lwi.dice import keys_by_name
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.split_file import FOLDS, SPLIT_FILE, read_splits, require_cases

NNUNET_SPLIT_SEED = 12345


@dataclass(frozen=True)
class LabelledImages:
    """Raw images with their labels, by case."""

    images: dict[str, list[str]]
    labels: dict[str, str]


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
            UserError: there is no such fold, or too few cases for nnU-Net's own split.
        """
        folder = str(self.preprocessed / configuration["data_identifier"])
        identifiers = sorted(infer_dataset_class(folder).get_identifiers(folder))
        path, splits = self.preprocessed / SPLIT_FILE, read_splits(self.preprocessed)
        if not splits and len(identifiers) < FOLDS:
            raise UserError(f"{folder} has {len(identifiers)} cases, too few for nnU-Net's five folds: write {path}.")
        splits = splits or generate_crossval_split(identifiers, seed=NNUNET_SPLIT_SEED, n_splits=FOLDS)
        if fold >= len(splits):
            raise UserError(f"-f {fold}: {path} has {len(splits)} folds, 0 to {len(splits) - 1}.")
        train, val = ([str(case) for case in splits[fold][part]] for part in ("train", "val"))
        require_cases(train, val, identifiers, folder)
        return train, val

    def training_images(self) -> LabelledImages | None:
        """Raw training images, or None where the raw data set is not at hand."""
        if self.raw is None or not (self.raw / "dataset.json").is_file():
            return None
        found = get_filenames_of_train_images_and_targets(str(self.raw), dict(self.dataset_json))
        return LabelledImages(
            {case: files["images"] for case, files in found.items()}, {case: files["label"] for case, files in found.items()}
        )

    def test_images(self) -> LabelledImages | None:
        """Raw images in imagesTs that have a label in labelsTs, or None if there are none."""
        if self.raw is None:
            return None
        ending, channels = self.dataset_json["file_ending"], len(self.dataset_json["channel_names"])
        labels = {path.name.removesuffix(ending): path for path in sorted((self.raw / "labelsTs").glob(f"*{ending}"))}
        images = {case: [self.raw / "imagesTs" / f"{case}_{c:04d}{ending}" for c in range(channels)] for case in labels}
        complete = [case for case in labels if all(path.is_file() for path in images[case])]
        if not complete:
            return None
        return LabelledImages(
            {case: [str(path) for path in images[case]] for case in complete}, {case: str(labels[case]) for case in complete}
        )
