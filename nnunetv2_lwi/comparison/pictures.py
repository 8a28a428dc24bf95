"""Pictures of single cases: image, truth, baseline and arm, false positives and negatives marked (paper, Figs. 3, 5, 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from numpy.typing import NDArray

from nnunetv2_lwi.comparison.pairs import average_of_both, grouped, pair_by_seed
from nnunetv2_lwi.comparison.results import Outcome, scored
from nnunetv2_lwi.comparison.scoring import TEST, Kind, predictions_folder
from nnunetv2_lwi.comparison.tables import HOW
from nnunetv2_lwi.disk import write_picture

FALSE_POSITIVE, FALSE_NEGATIVE = (1.0, 0.15, 0.15, 1.0), (0.2, 0.75, 1.0, 1.0)
OPACITY = 0.45


@dataclass(frozen=True)
class CaseVolumes:
    """One case, all volumes (D, H, W)."""

    image: NDArray[Any]
    truth: NDArray[Any]
    baseline: NDArray[Any]
    arm: NDArray[Any]
    spacing: Sequence[float]
    """(D, H, W) in mm."""


def draw_cases(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """For every arm and number of labelled cases: the cases with the largest gain, the median and the largest loss.

    Of the first seed that both finished, by the Dice averaged over classes, and of the cases whose files are there.
    Pictures of an earlier report are removed.
    """
    for path in folder.glob("*.png"):
        path.unlink()
    kinds = scored(outcomes)
    if not kinds:
        return []
    cases, how = kinds[0]
    groups, pictures = grouped(outcomes), []
    for (count, label), group in groups.items():
        baseline = group[0].run.baseline
        pairs = pair_by_seed(group, groups.get((count, baseline), []))
        if label == baseline or not pairs:
            continue
        arm, reference = pairs[0]
        ours, theirs = average_of_both(arm, reference, cases, how, "Dice")
        gain, names = ours - theirs, sorted(arm.scores(cases, how) or {})
        there = [
            np.isfinite(gain[index]) and _is_at_hand(arm, reference, kinds[0], name) for index, name in enumerate(names)
        ]
        order = [int(index) for index in np.argsort(gain) if there[index]]
        if not order:
            continue
        chosen = {"loss": order[0], "median": order[len(order) // 2], "gain": order[-1]}
        for kind, index in chosen.items():
            path = folder / f"{_file_name(label)}_{count}cases_largest_{kind}.png".replace("largest_median", "median")
            volumes = _read(arm, reference, kinds[0], names[index])
            runs = f"{count} labelled cases, seed {arm.run.seed}"
            title = f"{names[index]}, {runs}, {HOW[how]}: Dice {100 * gain[index]:+.1f} ({path.stem})"
            _draw(volumes, (baseline, label), title, path)
            pictures.append(path)
    return pictures


def _file_name(label: str) -> str:
    return "".join(character if character.isalnum() or character in "._-=" else "_" for character in label)


@dataclass(frozen=True)
class _Files:
    """Of one case: its channels, if they are at hand, its label and both predictions."""

    images: list[str]
    label: str
    baseline: str
    arm: str


def _files(arm: Outcome, baseline: Outcome, kind: Kind, case: str) -> _Files:
    source, (cases, how) = arm.place.source, kind
    raw = source.test_images if cases == TEST else source.training_images
    name = f"{case}{source.file_ending}"
    label = str(source.preprocessed / "gt_segmentations" / name)
    of_baseline, of_arm = (str(predictions_folder(outcome.place, cases, how) / name) for outcome in (baseline, arm))
    of_case = None if raw is None else raw.images.get(case)
    return _Files(of_case or [], raw.labels[case] if raw and of_case else label, of_baseline, of_arm)


def _is_at_hand(arm: Outcome, baseline: Outcome, kind: Kind, case: str) -> bool:
    files = _files(arm, baseline, kind, case)
    return all(Path(path).is_file() for path in (*files.images, files.label, files.baseline, files.arm))


def _read(arm: Outcome, baseline: Outcome, kind: Kind, case: str) -> CaseVolumes:
    source, files = arm.place.source, _files(arm, baseline, kind, case)
    reader = PlansManager(source.plans).image_reader_writer_class()
    truth = reader.read_seg(files.label)[0]
    of_baseline = reader.read_seg(files.baseline)[0][0]
    of_arm, properties = reader.read_seg(files.arm)
    of_arm = of_arm[0]
    image = reader.read_images(files.images)[0][0] if files.images else np.zeros_like(truth[0])
    if (ignored := source.label_manager.ignore_label) is not None:
        for labels in (of_baseline, of_arm, truth[0]):
            labels[truth[0] == ignored] = 0
    return CaseVolumes(image, truth[0], of_baseline, of_arm, properties["spacing"])


def _draw(volumes: CaseVolumes, names: tuple[str, str], title: str, path: Path) -> None:
    """The axial slice in which the two predictions differ most from the truth."""
    wrong = (volumes.baseline != volumes.truth).sum((1, 2)) + (volumes.arm != volumes.truth).sum((1, 2))
    z = int(wrong.argmax())
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    axes = figure.subplots(1, 4)
    low, high = np.percentile(volumes.image, (0.5, 99.5))
    aspect = volumes.spacing[1] / volumes.spacing[2]
    for axis, name in zip(axes, ("image", "truth", *names), strict=True):
        axis.imshow(volumes.image[z], cmap="gray", vmin=low, vmax=high, aspect=aspect)
        axis.set(xticks=[], yticks=[], title=f"{name} (slice {z})" if name == "image" else name)
    _overlay(axes[1], _coloured(volumes.truth[z]), aspect)
    for axis, prediction in zip(axes[2:], (volumes.baseline[z], volumes.arm[z]), strict=True):
        _overlay(axis, _coloured(prediction), aspect)
        _overlay(axis, _marked(prediction, volumes.truth[z]), aspect)
    figure.legend(
        handles=[
            Patch(color=FALSE_POSITIVE, label="false positive or wrong class"),
            Patch(color=FALSE_NEGATIVE, label="false negative"),
        ],
        loc="outside lower center",
        ncols=2,
        fontsize="small",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, figure, dpi=90)


def _overlay(axes: Axes, colours: NDArray[np.float64], aspect: float) -> None:
    axes.imshow(colours, aspect=aspect, interpolation="nearest")


def _coloured(labels: NDArray[Any]) -> NDArray[np.float64]:
    """(H, W) labels as (H, W, 4) colours, clear where there is background."""
    colours = np.array(colormaps["Set2"](labels.astype(int) % 8), dtype=np.float64)
    colours[..., 3] = np.where(labels > 0, OPACITY, 0)
    return colours


def _marked(prediction: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """(H, W, 4), clear where the prediction is right."""
    colours = np.zeros((*truth.shape, 4))
    colours[(prediction != truth) & (prediction > 0)] = FALSE_POSITIVE
    colours[(prediction == 0) & (truth > 0)] = FALSE_NEGATIVE
    return colours
