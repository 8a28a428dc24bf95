"""Where preprocessed scans without labels lie: a folder beside the configuration's own data, and a journal beside that.

The journal has a line for every scan that was looked at, the last one counts. Lines are only added, so that a command that
is killed loses nothing but the scan at hand, and one file tells of ten thousand scans.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2.training.dataloading.nnunet_dataset import file_ending_dataset_mapping, nnUNetBaseDataset

from nnunetv2_lwi.disk import write_text
from nnunetv2_lwi.nnunet.contents import Content
from nnunetv2_lwi.unlabelled.raw_scans import FileState

SUFFIX = "_unlabelled_lwi"
"""Of the folder's name, after the configuration's data identifier."""
IMAGE_ENDINGS = (".b2nd", ".npz")
"""Of a preprocessed image, by which nnU-Net knows that a case is there."""
CASE_ENDINGS = (*IMAGE_ENDINGS, "_seg.b2nd", ".npy", "_seg.npy", ".pkl")
"""Of what nnU-Net's data set classes keep of a case."""


def own_identifier(data_identifier: str) -> str:
    """A configuration's data identifier, also where that of its scans without labels stands in its place."""
    return data_identifier.removesuffix(SUFFIX)


@dataclass(frozen=True)
class Entry:
    """What is known of a scan.

    Attributes:
        state: of its raw files when they were read.
        content: of the preprocessed scan; None where it was left out.
        raw: of the scan as it was read; None where it could not be.
        left_out: why it cannot be used.
        test_image: case in imagesTs whose image it is.
    """

    name: str
    state: list[FileState]
    content: Content | None = None
    raw: Content | None = None
    left_out: str | None = None
    test_image: str | None = None

    def plain(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "name": self.name,
            "state": self.state,
            "content": None if self.content is None else self.content.plain(),
            "raw": None if self.raw is None else self.raw.plain(),
            "left_out": self.left_out,
            "test_image": self.test_image,
        }

    @classmethod
    def from_plain(cls, value: Mapping[str, Any]) -> Entry:
        """Of what :meth:`plain` gave."""
        content, raw = (None if value[key] is None else Content.from_plain(value[key]) for key in ("content", "raw"))
        return cls(value["name"], list(value["state"]), content, raw, value["left_out"], value["test_image"])


@dataclass(frozen=True)
class Journal:
    """What the journal says.

    Attributes:
        made_for: what of plan the scans were preprocessed by.
        allows_test_images: whether images of the test or of a fold's validation are used all the same.
        entries: by name.
    """

    made_for: dict[str, Any] | None = None
    allows_test_images: bool = False
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True)
class UnlabelledFolder:
    """The folder of a configuration's preprocessed scans without labels, which may not be there.

    Attributes:
        path: what nnU-Net's data set classes read.
    """

    path: Path

    @classmethod
    def beside(cls, dataset_folder: Path, data_identifier: str) -> UnlabelledFolder:
        """The one beside a configuration's data.

        Args:
            dataset_folder: the data set in nnUNet_preprocessed.
            data_identifier: of the configuration.
        """
        return cls(dataset_folder / f"{own_identifier(data_identifier)}{SUFFIX}")

    @property
    def journal_file(self) -> Path:
        """Beside the folder, where nothing but cases may lie."""
        return self.path.with_name(f"{self.path.name}.jsonl")

    def read(self) -> Journal:
        """What the journal says; of a line that a kill cut short, nothing."""
        made_for, allows = None, False
        entries: dict[str, Entry] = {}
        for line in self._lines():
            if "made_for" in line:
                made_for, allows, entries = line["made_for"], line["allows_test_images"], {}
            else:
                entry = Entry.from_plain(line)
                entries[entry.name] = entry
        return Journal(made_for, allows, entries)

    def scans(self, journal: Journal) -> dict[str, Entry]:
        """Those that are there and can be used, in the order of their names."""
        there = set(self.files())
        return {name: journal.entries[name] for name in sorted(there & journal.entries.keys()) if _is_used(journal, name)}

    def files(self) -> Sequence[str]:
        """Names of the preprocessed scans that are there."""
        reader = self.reader() if self.path.is_dir() else None
        return [] if reader is None else list(reader.get_identifiers(str(self.path)))

    def reader(self) -> type[nnUNetBaseDataset] | None:
        """nnU-Net's data set class for the files that are there; others, as systems leave them, do not count."""
        endings = {path.suffix.removeprefix(".") for path in self.path.iterdir()} & file_ending_dataset_mapping.keys()
        return file_ending_dataset_mapping[min(endings)] if endings else None

    def begin(self, made_for: Mapping[str, Any], allows_test_images: bool, entries: Sequence[Entry]) -> None:
        """A new journal, with entries that still hold."""
        self.path.mkdir(parents=True, exist_ok=True)
        lines = [{"made_for": made_for, "allows_test_images": allows_test_images}, *(entry.plain() for entry in entries)]
        write_text(self.journal_file, "".join(f"{json.dumps(line)}\n" for line in lines))

    def add(self, entry: Entry) -> None:
        """One more line, which is on the disk when this returns."""
        with self.journal_file.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(entry.plain())}\n")
            file.flush()
            os.fsync(file.fileno())

    def image_files(self, name: str) -> list[Path]:
        """Where a preprocessed scan's image is."""
        return [path for ending in IMAGE_ENDINGS if (path := self.path / f"{name}{ending}").is_file()]

    def remove(self, name: str) -> None:
        """The files of a preprocessed scan."""
        for ending in CASE_ENDINGS:
            (self.path / f"{name}{ending}").unlink(missing_ok=True)

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.journal_file.is_file():
            return
        for line in self.journal_file.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


def _is_used(journal: Journal, name: str) -> bool:
    entry = journal.entries[name]
    return entry.content is not None and (entry.test_image is None or journal.allows_test_images)
