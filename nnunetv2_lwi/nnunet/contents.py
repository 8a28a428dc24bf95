"""What the preprocessed cases hold, in a few numbers each: equal data are told from other data whatever they are called.

Files are opened, not read whole: of an image 27 voxels, of a segmentation where nnU-Net's preprocessing found its labels
(ten thousand voxels a class, drawn the same whenever it is run; its compressed files, of equal data, differ in their
bytes). What was read is kept in a file beside the preprocessed data, where that can be written to.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class, nnUNetBaseDataset
from numpy.typing import NDArray

from nnunetv2_lwi.disk import write_json

VOXELS_PER_AXIS = 3
LOCATIONS = "locations "
"""Before a digest of labels, which was one of a file in an earlier version."""
LEAST_DIFFERENT = 6
"""Values among an image's voxels: where one alone is not background, any two images correlate that have it in one place."""
SAME = 0.999
"""Correlation from which the voxels of two images are those of one, normalised alike or not."""


@dataclass(frozen=True)
class Content:
    """Of one preprocessed case."""

    shape: list[int]
    """(C, D, H, W)."""
    voxels: list[float]
    """On a grid over the first channel."""
    labels: str
    """A digest of where they are; empty without any."""

    @classmethod
    def from_plain(cls, value: Mapping[str, Any]) -> Content:
        """Of what :meth:`plain` gave."""
        return cls(list(value["shape"]), list(value["voxels"]), str(value["labels"]))

    def plain(self) -> dict[str, Any]:
        """For JSON and checkpoints."""
        return asdict(self)

    def is_of_image_of(self, other: Content) -> bool:
        """Whether both are of one image, which may have been normalised in different ways."""
        return self.shape[1:] == other.shape[1:] and bool(self.pattern @ other.pattern > SAME)

    def has_labels_of(self, other: Content) -> bool:
        """Whether the segmentations are equal; of what an earlier version noted, the bytes of a file, nothing is known."""
        noted_now = [labels == "" or labels.startswith(LOCATIONS) for labels in (self.labels, other.labels)]
        return self.labels == other.labels or not all(noted_now)

    @classmethod
    def of_image(cls, image: Any, labels: str = "") -> Content:
        """Of an image (C, D, H, W) that can be read voxel by voxel."""
        axes = [_spread(edge) for edge in image.shape[1:]]
        voxels = [float(f"{float(image[0, z, y, x]):.7g}") for z, y, x in product(*axes)]
        return cls(list(image.shape), voxels, labels)

    @cached_property
    def pattern(self) -> NDArray[np.float64]:
        """The voxels whatever their mean and scale, of norm 1; zero where too few differ to tell an image by."""
        if len(set(self.voxels)) < LEAST_DIFFERENT:
            return np.zeros(len(self.voxels))
        centred = np.asarray(self.voxels) - np.mean(self.voxels)
        norm = np.linalg.norm(centred)
        pattern: NDArray[np.float64] = centred / norm if norm > 0 else centred
        return pattern

    def has_voxels_of(self, other: Content) -> bool:
        """Whether the images are equal, normalisation included, but for rounding."""
        if self.shape != other.shape:
            return False
        mine, theirs = np.asarray(self.voxels), np.asarray(other.voxels)
        return bool(np.allclose(mine, theirs, rtol=1e-3, atol=1e-3 * max(mine.std(), 1e-6)))


def read_contents(folder: Path, cases: Sequence[str]) -> dict[str, Content]:
    """Of the cases that are there.

    Args:
        folder: of a configuration's preprocessed cases.
    """
    kept, found_new = _read_entries(folder, cases)
    if found_new:
        _keep(folder, kept)
    return {case: Content.from_plain(kept[case]["content"]) for case in sorted(cases) if case in kept}


def read_extreme_labels(folder: Path) -> dict[str, tuple[int, int]]:
    """Lowest and highest value in the segmentation of each case. Whole segmentations are read, where none of it is kept.

    Args:
        folder: of a configuration's preprocessed cases.
    """
    dataset = infer_dataset_class(str(folder))(str(folder))
    kept, found_new = _read_entries(folder, dataset.identifiers)
    for case in dataset.identifiers:
        if "labels" not in kept[case]:
            labels = dataset.load_case(case)[1][:]
            kept[case]["labels"] = [int(labels.min()), int(labels.max())]
            found_new = True
    if found_new:
        _keep(folder, kept)
    return {case: tuple(kept[case]["labels"]) for case in sorted(dataset.identifiers)}


def changed(theirs: Mapping[str, Content], ours: Mapping[str, Content], with_labels: bool) -> list[str]:
    """Cases of both whose image, or segmentation, is another."""
    return [
        case
        for case in sorted(theirs.keys() & ours.keys())
        if not theirs[case].has_voxels_of(ours[case]) or (with_labels and not theirs[case].has_labels_of(ours[case]))
    ]


def shared(theirs: Mapping[str, Content], ours: Mapping[str, Content]) -> dict[str, str]:
    """Cases of ours whose image is also one of theirs, and its name there."""
    found = {}
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, other in theirs.items():
        by_shape.setdefault(tuple(other.shape[1:]), []).append(name)
    patterns = {shape: np.stack([theirs[name].pattern for name in names]) for shape, names in by_shape.items()}
    for case, content in ours.items():
        shape = tuple(content.shape[1:])
        if shape in patterns:
            same = patterns[shape] @ content.pattern > SAME
            if same.any():
                found[case] = by_shape[shape][int(same.argmax())]
    return found


def _read_entries(folder: Path, cases: Iterable[str]) -> tuple[dict[str, Any], bool]:
    """What is kept, brought up to date for these cases, and whether anything of it is new."""
    kept, found_new = _read_kept(folder), False
    dataset_class = infer_dataset_class(str(folder))
    for case in cases:
        state = _state(folder, case)
        if state is None:
            kept.pop(case, None)
        elif case not in kept or kept[case]["state"] != state:
            kept[case] = {"state": state, "content": read_content(dataset_class, folder, case).plain()}
            found_new = True
    return kept, found_new


def read_content(dataset_class: type[nnUNetBaseDataset], folder: Path, case: str) -> Content:
    """Of one preprocessed case."""
    image, *_, properties = dataset_class(str(folder), [case]).load_case(case)
    locations = properties.get("class_locations")
    return Content.of_image(image, "" if locations is None else f"{LOCATIONS}{_digest(locations)}")


def _digest(locations: Mapping[Any, Any]) -> str:
    digest = sha256()
    for key in sorted(locations, key=str):
        digest.update(f"{key} {len(locations[key])} ".encode())
        digest.update(np.ascontiguousarray(locations[key], dtype=np.int64).tobytes())
    return digest.hexdigest()[:16]


def _spread(edge: int) -> Sequence[int]:
    """Indices well inside an axis."""
    inner: Sequence[int] = np.linspace(0, edge - 1, VOXELS_PER_AXIS + 2)[1:-1].round().astype(int).tolist()
    return inner


def _state(folder: Path, case: str) -> list[list[int]] | None:
    """Size and time of a case's files; None where there are none."""
    files = [folder / f"{case}{ending}" for ending in (".b2nd", "_seg.b2nd", ".npz")]
    stats = [path.stat() for path in files if path.is_file()]
    return [[stat.st_size, stat.st_mtime_ns] for stat in stats] or None


def _file_of(folder: Path) -> Path:
    return folder.parent / f"{folder.name}_contents_lwi.json"


def _keep(folder: Path, kept: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        write_json(_file_of(folder), kept)


def _read_kept(folder: Path) -> dict[str, Any]:
    """What an earlier call read; nothing where the file is none of ours."""
    try:
        kept: dict[str, Any] = json.loads(_file_of(folder).read_text(encoding="utf-8"))
        for entry in kept.values():
            labels = Content.from_plain(entry["content"]).labels
            if labels and not labels.startswith(LOCATIONS):
                return {}
            entry["state"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return kept
