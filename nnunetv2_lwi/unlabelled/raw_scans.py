"""Raw scans without labels, by nnU-Net's naming: ``SCAN_0000.nii.gz``, ``SCAN_0001.nii.gz`` for a second channel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.nnunet.dataset_json import channel_names

IMAGES_UNLABELLED = "imagesUn"
"""In the raw data set's folder, beside imagesTr."""
OF_THE_DATA_SET = ("imagesTr", "imagesTs", "labelsTr", "labelsTs")
"""Folders of the raw data set that hold no further scans."""

SEGMENTATION = "_seg"

FileState = list[int]
"""Size in bytes and time of the last change in nanoseconds."""


@dataclass(frozen=True)
class RawScan:
    """One scan.

    Attributes:
        name: as the preprocessed scan is called.
        files: one a channel, in the order of the channels.
    """

    name: str
    files: tuple[Path, ...]

    def state(self) -> list[FileState]:
        """Of its files; it changes with them."""
        return [[stat.st_size, stat.st_mtime_ns] for stat in (path.stat() for path in self.files)]


@dataclass(frozen=True)
class Found:
    """What lies in the folders.

    Attributes:
        scans: those with a file for every channel, and for no other.
        incomplete: why each of the others cannot be used, by name.
    """

    scans: list[RawScan]
    incomplete: dict[str, str]


def default_folder(raw_dataset: Path) -> Path:
    """Where a data set's scans without labels lie."""
    return raw_dataset / IMAGES_UNLABELLED


def scans_of(folders: Sequence[Path], dataset_json: Mapping[str, Any]) -> Found:
    """The scans in some folders, named as dataset.json says.

    Raises:
        UserError: as :func:`find_scans`.
    """
    return find_scans(folders, str(dataset_json["file_ending"]), len(channel_names(dataset_json)))


def scans_if_any(folder: Path, dataset_json: Mapping[str, Any]) -> list[RawScan]:
    """Those of imagesTr or imagesTs, which may not be there, or hold nothing by nnU-Net's naming."""
    ending, channels = str(dataset_json["file_ending"]), len(channel_names(dataset_json))
    return _complete(_named_files(folder, ending)[0], channels) if folder.is_dir() else []


def other_entries(folder: Path, scans: Sequence[RawScan]) -> list[str]:
    """Names of what lies in a folder, which may not be there, beside some scans; what systems hide is none."""
    files = {path.name for scan in scans for path in scan.files}
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path.name for path in paths if not path.name.startswith(".") and path.name not in files]


def find_scans(folders: Sequence[Path], ending: str, channels: int) -> Found:
    """The scans in some folders, which are only read; not in folders within these.

    Args:
        ending: of the files, dataset.json's ``file_ending``.
        channels: as many files has a scan.

    Raises:
        UserError: a folder is none, there is no scan in it, or two scans go by one name.
    """
    found: dict[str, dict[int, Path]] = {}
    for folder in folders:
        of_folder = _files_by_scan(folder, ending)
        _require_different_names(found, of_folder)
        found |= of_folder
    problems = {name: _problem(name, files, ending, channels) for name, files in sorted(found.items())}
    incomplete = {name: problem for name, problem in problems.items() if problem is not None}
    return Found([scan for scan in _complete(found, channels) if scan.name not in incomplete], incomplete)


def _complete(found: Mapping[str, Mapping[int, Path]], channels: int) -> list[RawScan]:
    return [
        RawScan(name, tuple(files[channel] for channel in range(channels)))
        for name, files in sorted(found.items())
        if all(channel in files for channel in range(channels))
    ]


def require_other_folders(folders: Iterable[Path], raw_dataset: Path) -> None:
    """Raises:
    UserError: a folder is one of the data set's own, whose images have labels or are kept for the test.
    """
    for folder in folders:
        for own in (raw_dataset / name for name in OF_THE_DATA_SET):
            if own.exists() and folder.exists() and folder.samefile(own):
                raise UserError(
                    f"-i {folder} is the data set's own {own.name}: scans without labels lie in another folder "
                    f"({default_folder(raw_dataset)}, say)."
                )


def _files_by_scan(folder: Path, ending: str) -> dict[str, dict[int, Path]]:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: put the scans there (SCAN_0000{ending}), or name another with -i.")
    scans, others = _named_files(folder, ending)
    if not scans:
        what = f"none of its {others} entries is one" if others else "it is empty"
        raise UserError(
            f"{folder} holds no scan named SCAN_0000{ending}, as file_ending in dataset.json and nnU-Net's naming of "
            f"channels want it; {what}."
        )
    return scans


def _named_files(folder: Path, ending: str) -> tuple[dict[str, dict[int, Path]], int]:
    """Files by scan and channel, and how many entries of the folder are none."""
    pattern = re.compile(rf"(?P<scan>.+)_(?P<channel>\d{{4}}){re.escape(ending)}")
    scans: dict[str, dict[int, Path]] = {}
    others = 0
    for path in sorted(folder.iterdir()):
        match = None if path.name.startswith(".") else pattern.fullmatch(path.name)
        if match is None or not path.is_file():
            others += 1
            continue
        scans.setdefault(match["scan"], {})[int(match["channel"])] = path
    return scans, others


def _require_different_names(found: Mapping[str, Mapping[int, Path]], more: Mapping[str, Mapping[int, Path]]) -> None:
    """Also where upper and lower case alone tell them apart, which not every file system does."""
    seen = {name.lower(): name for name in found}
    for name in more:
        other = seen.get(name.lower())
        if other is not None:
            there = next(iter((found.get(other) or more[other]).values()))
            raise UserError(
                f"Two scans go by one name: {there} and {next(iter(more[name].values()))}. Rename one of them, channel by "
                "channel."
            )
        seen[name.lower()] = name


def _problem(name: str, files: Mapping[int, Path], ending: str, channels: int) -> str | None:
    """Why a scan cannot be used by what its files are called."""
    lacking = [f"{name}_{channel:04d}{ending}" for channel in range(channels) if channel not in files]
    more = [path.name for channel, path in sorted(files.items()) if channel >= channels]
    if lacking:
        return f"there is no {shortened(lacking)}"
    if more:
        return (
            f"the data set has {channels} channels, and there is {shortened(more)} too: if its number is the scan's own, "
            "append _0000 to its name"
        )
    if name.endswith(SEGMENTATION):
        return f"nnU-Net keeps segmentations under names that end in {SEGMENTATION}: rename it"
    return None
