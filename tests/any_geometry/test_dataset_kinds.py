"""Every kind of data set and patch that nnU-Net distinguishes, by name, through both trainers."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from pathlib import Path

import pytest

from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.any_geometry.two_steps import Plan, check_step1, check_step2, written
from tests.networks_for_tests import unet_kwargs

IsOfItsKind = Callable[[nnUNetTrainerLWIInit, nnUNetTrainerLWISeg], bool]

ANISOTROPIC = unet_kwargs(
    [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 2]], kernel_sizes=[[1, 3, 3], [1, 3, 3], [3, 3, 3], [3, 3, 3]]
)
ODD = unet_kwargs([[1, 1, 1], [3, 1, 3]])


def log_of(trainer: nnUNetTrainerLWIInit) -> str:
    return Path(trainer.log_file).read_text()


def always(*_: object) -> bool:
    return True


def is_anisotropic(step1: nnUNetTrainerLWIInit, _: object) -> bool:
    return [level.depth for level in step1.pretext_network.levels] == [8, 8, 8, 4] and step1.pretext_network.slabs == 4


def is_dummy_2d(step1: nnUNetTrainerLWIInit, step2: nnUNetTrainerLWISeg) -> bool:
    return all("do_dummy_2d_data_aug: True" in log_of(trainer) for trainer in (step1, step2))


def images_are_smaller(step1: nnUNetTrainerLWIInit, _: object) -> bool:
    image = step1.dataset_class(step1.preprocessed_dataset_folder, ["case_1"]).load_case("case_1")[0]
    return all(own < edge for own, edge in zip(image.shape[1:], step1.configuration_manager.patch_size, strict=True))


def has_no_foreground(_: object, step2: nnUNetTrainerLWISeg) -> bool:
    segmentation = step2.dataset_class(step2.preprocessed_dataset_folder, ["case_1"]).load_case("case_1")[1]
    return segmentation[:].max() == 0


def masks_the_image(step1: nnUNetTrainerLWIInit, _: object) -> bool:
    volume = next(step1.dataloader_train)["data"]
    return bool((volume[:, 0] == 0).any()) and not bool((volume[:, 1] == 0).any())


KINDS: dict[str, tuple[Plan, IsOfItsKind]] = {
    "anisotropic": (Plan({"patch_size": (8, 24, 24), "arch_kwargs": ANISOTROPIC}), is_anisotropic),
    "dummy 2D augmentation": (Plan({"patch_size": (8, 32, 32)}), is_dummy_2d),
    "thin patch": (Plan({"patch_size": (4, 8, 32), "arch_kwargs": unet_kwargs([[1, 1, 1], [1, 2, 2], [2, 2, 2]])}), always),
    "deep patch": (
        Plan({"patch_size": (32, 8, 8)}, {"num_subvolumes": 16, "order_weight": 1.0}),
        lambda one, _: one.transformation.slabs == 16,
    ),
    "odd patch": (
        Plan({"patch_size": (9, 13, 15), "arch_kwargs": ODD}, {"order_weight": 1.0}),
        lambda one, _: one.transformation.slabs == 3,
    ),
    "residual encoder": (
        Plan({"residual": True, "arch_kwargs": unet_kwargs([[1, 1, 1], [2, 2, 2]], residual=True)}),
        lambda _, two: type(two.unwrapped_network).__name__ == "ResidualEncoderUNet",
    ),
    "transposed axes": (
        Plan({"transpose_forward": (2, 0, 1)}),
        lambda one, _: one.plans_manager.transpose_backward == [1, 2, 0],
    ),
    "several channels": (
        Plan({"channels": 3}),
        lambda one, two: (
            one.num_input_channels == two.num_input_channels == 3
            and len(set(one.configuration_manager.normalization_schemes)) == 3
        ),
    ),
    "regions": (Plan({"regions": True}), lambda _, two: two.label_manager.has_regions),
    "ignore label": (Plan({"ignore_label": True}), lambda _, two: two.label_manager.ignore_label == 3),
    "regions with ignore label": (
        Plan({"ignore_label": True, "regions": True}),
        lambda _, two: two.label_manager.has_regions and two.label_manager.has_ignore_label,
    ),
    "mask for normalization": (
        Plan({"use_mask_for_norm": True, "channels": 2, "patch_size": (8, 16, 16), "shape": (13, 24, 24)}),
        masks_the_image,
    ),
    "images smaller than the patch": (
        Plan({"patch_size": (16, 32, 24), "shape": (6, 17, 9)}, {"order_weight": 1.0}),
        images_are_smaller,
    ),
    "no foreground": (Plan({"foreground": False}), has_no_foreground),
    "one training case, fold all": (Plan({"cases": 1}, fold="all"), lambda one, _: one.train_cases == ["case_0"]),
    "fewer cases than folds, own split": (
        Plan({"cases": 2}, fold=0, splits=[{"train": ["case_1"], "val": ["case_0"]}]),
        lambda one, two: one.train_cases == two.train_cases == ["case_1"],
    ),
    "fold all": (Plan(fold="all"), lambda one, _: sorted(one.train_cases) == sorted(one.val_cases)),
    "fold that the split has not": (Plan(fold=7), lambda one, _: len(one.train_cases) == 4 and len(one.val_cases) == 1),
    "batches of one": (Plan({"batch_size": 1}), lambda one, _: one.batch_size == 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_both_steps(kind: str) -> None:
    plan, is_of_its_kind = KINDS[kind]
    with written(plan) as dataset:
        step1 = check_step1(plan, dataset)
        step1.perform_actual_validation()
        summary = json.loads((Path(step1.output_folder) / "validation" / "summary.json").read_text())
        assert summary["mean"] and all(isfinite(value) for value in summary["mean"].values())
        step2 = check_step2(plan, dataset)
        assert is_of_its_kind(step1, step2)
