from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_lwi.datasets.phantom import (
    BACKGROUND,
    HEAD,
    IGNORE,
    TAIL,
    annotate_sparsely,
    body_mask,
    draw_anatomy,
    draw_case,
    jittered,
    label_map,
    smooth_noise,
    texture,
    vessel_mask,
    write_phantom,
)
from nnunetv2_lwi.errors import UserError

SHAPE = (32, 40, 36)
SEEDS = range(25)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def read(path: Path) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return array


def voxels(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {str(path.relative_to(folder)): read(path) for path in sorted(folder.rglob("*.nii.gz"))}


@pytest.mark.parametrize("seed", SEEDS)
def test_head_comes_before_tail_along_depth_inside_the_body(seed: int) -> None:
    anatomy = draw_anatomy(rng(seed))
    labels = label_map(anatomy, SHAPE)
    mean_depth = {label: np.argwhere(labels == label)[:, 0].mean() for label in (HEAD, TAIL)}
    assert mean_depth[HEAD] + 5 < mean_depth[TAIL]
    assert np.all(body_mask(anatomy, SHAPE)[labels != BACKGROUND])
    assert min((labels == HEAD).sum(), (labels == TAIL).sum()) > 100


def test_cases_differ_in_place_and_size() -> None:
    maps = [label_map(draw_anatomy(rng(seed)), SHAPE) for seed in SEEDS]
    depths = [np.argwhere(labels == HEAD)[:, 0].mean() for labels in maps]
    sizes = [(labels == TAIL).sum() for labels in maps]
    assert max(depths) - min(depths) > 2
    assert max(sizes) > 1.5 * min(sizes)


def test_brightness_does_not_separate_head_tail_and_vessel() -> None:
    """Averaged over cases, the three differ by far less than the noise within each."""
    means: dict[str, list[float]] = {"head": [], "tail": [], "vessel": []}
    for seed in SEEDS:
        image, labels = draw_case(rng(seed), SHAPE)
        anatomy = draw_anatomy(rng(seed))
        vessel = vessel_mask(anatomy, SHAPE) & body_mask(anatomy, SHAPE) & (labels == BACKGROUND)
        for name, mask in (("head", labels == HEAD), ("tail", labels == TAIL), ("vessel", vessel)):
            means[name].append(float(image[0][mask].mean()))
    typical = [float(np.mean(values)) for values in means.values()]
    assert max(typical) - min(typical) < 10
    assert min(typical) > 130


def test_grains_grow_coarser_along_depth() -> None:
    grains = texture(rng(0), (32, 64, 64))
    roughness = np.abs(np.diff(grains, axis=2)).mean((1, 2)) / grains.std((1, 2))
    assert roughness[:6].mean() > 2 * roughness[-6:].mean()


def test_smooth_noise_is_normalised_and_smoother_with_scale() -> None:
    fine, coarse = (smooth_noise(rng(0), SHAPE, scale) for scale in (1.0, 4.0))
    assert fine.std() == pytest.approx(1, abs=1e-3)
    assert coarse.mean() == pytest.approx(0, abs=1e-3)
    assert np.abs(np.diff(fine, axis=0)).mean() > 2 * np.abs(np.diff(coarse, axis=0)).mean()


def test_channels_show_the_same_anatomy_in_different_images() -> None:
    image, labels = draw_case(rng(0), SHAPE, channels=3)
    assert image.shape == (3, *SHAPE)
    assert labels.shape == SHAPE
    assert not np.array_equal(image[0], image[1])
    assert all(channel[labels == HEAD].mean() > channel[labels == BACKGROUND].mean() for channel in image)


def test_outside_the_body_is_exactly_zero_on_request() -> None:
    image, _ = draw_case(rng(0), SHAPE, channels=2, zero_outside=True)
    outside = ~body_mask(draw_anatomy(rng(0)), SHAPE)
    assert np.all(image[:, outside] == 0)
    assert np.all(image[:, ~outside] != 0)


def test_sparse_annotation_keeps_whole_slices() -> None:
    labels = label_map(draw_anatomy(rng(0)), SHAPE)
    sparse = annotate_sparsely(rng(1), labels)
    annotated = [index for index, plane in enumerate(sparse) if not np.all(plane == IGNORE)]
    assert len(annotated) == round(0.4 * SHAPE[0])
    assert np.array_equal(sparse[annotated], labels[annotated])


def test_jitter_stays_within_bounds() -> None:
    shapes = {jittered(rng(seed), SHAPE) for seed in range(50)}
    assert len(shapes) > 10
    assert all(abs(edge - typical) <= 2 for shape in shapes for edge, typical in zip(shape, SHAPE, strict=True))


def test_writes_what_nnunet_expects(tmp_path: Path) -> None:
    folder = tmp_path / "Dataset001_Phantom"
    write_phantom(folder, cases=3, test_cases=2, shape=(12, 14, 16), channels=2, spacing=(3.0, 1.0, 0.5))
    names = {sub.name: sorted(path.name for path in sub.iterdir()) for sub in folder.iterdir() if sub.is_dir()}
    assert names["labelsTr"] == [f"phantomTr_00{case}.nii.gz" for case in range(3)]
    assert names["imagesTs"] == [f"phantomTs_00{case}_000{channel}.nii.gz" for case in range(2) for channel in range(2)]
    description = json.loads((folder / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "head": 1, "tail": 2}
    assert description["numTraining"] == 3
    assert list(description["channel_names"]) == ["0", "1"]
    for case in range(3):
        image = sitk.ReadImage(str(folder / "imagesTr" / f"phantomTr_00{case}_0000.nii.gz"))
        labels = sitk.ReadImage(str(folder / "labelsTr" / f"phantomTr_00{case}.nii.gz"))
        assert image.GetSpacing() == labels.GetSpacing() == (0.5, 1.0, 3.0)
        assert image.GetSize() == labels.GetSize()


def test_axis_0_of_the_file_is_depth(tmp_path: Path) -> None:
    write_phantom(tmp_path, cases=1, test_cases=0, shape=(40, 20, 30))
    labels = read(tmp_path / "labelsTr" / "phantomTr_000.nii.gz")
    assert np.abs(np.subtract(labels.shape, (40, 20, 30))).max() <= 2
    assert np.argwhere(labels == HEAD)[:, 0].mean() < np.argwhere(labels == TAIL)[:, 0].mean()


def test_nnunet_finds_the_data_set_intact(tmp_path: Path) -> None:
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    folder = tmp_path / "Dataset001_Phantom"
    write_phantom(folder, cases=2, test_cases=0, shape=(12, 14, 16), ignore_label=True, regions=True)
    verify_dataset_integrity(str(folder), num_processes=1)


def test_is_the_same_every_time_and_for_any_number_of_cases(tmp_path: Path) -> None:
    for name, cases, seed in (("few", 2, 3), ("many", 4, 3), ("other", 2, 4)):
        write_phantom(tmp_path / name, cases=cases, test_cases=1, shape=(12, 14, 16), seed=seed)
    few, many, other = (voxels(tmp_path / name) for name in ("few", "many", "other"))
    assert all(np.array_equal(array, many[name]) for name, array in few.items())
    assert not all(np.array_equal(array, other[name]) for name, array in few.items())
    assert not np.array_equal(few["imagesTr/phantomTr_000_0000.nii.gz"], few["imagesTs/phantomTs_000_0000.nii.gz"])


def test_labels_to_ignore_stand_in_training_cases_only(tmp_path: Path) -> None:
    write_phantom(tmp_path, cases=1, test_cases=1, shape=(12, 14, 16), ignore_label=True)
    assert IGNORE in read(tmp_path / "labelsTr" / "phantomTr_000.nii.gz")
    assert IGNORE not in read(tmp_path / "labelsTs" / "phantomTs_000.nii.gz")
    assert json.loads((tmp_path / "dataset.json").read_text())["labels"]["ignore"] == IGNORE


def test_regions_overlap(tmp_path: Path) -> None:
    write_phantom(tmp_path, cases=1, test_cases=0, shape=(12, 14, 16), regions=True)
    description = json.loads((tmp_path / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "whole": [1, 2], "tail": [2]}
    assert description["regions_class_order"] == [1, 2]


@pytest.mark.parametrize("wrong", [{"shape": (8, 20, 20)}, {"cases": 0}, {"channels": 0}, {"test_cases": -1}])
def test_refuses_what_it_cannot_draw(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        write_phantom(tmp_path / "phantom", **wrong)
    assert not (tmp_path / "phantom").exists()
