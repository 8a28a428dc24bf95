"""Which scans without labels a step 1 draws from, and which it must not: images of its own fold, and of the test."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.contents import Content, shared
from nnunetv2_lwi.nnunet.split_file import Cases
from nnunetv2_lwi.unlabelled.folder import Entry, Journal, UnlabelledFolder
from nnunetv2_lwi.unlabelled.preparation import made_for


@dataclass(frozen=True)
class Selection:
    """Of the scans beside a configuration's data.

    Attributes:
        scans: what each shows, by name: these are drawn from.
        left_out: scans that are images of the fold's own cases, with the case.
        test_images: scans among those drawn from that are images of the test, or of the fold's validation.
    """

    scans: dict[str, Content] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    test_images: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """For checkpoints."""
        scans = {name: content.plain() for name, content in self.scans.items()}
        return {"scans": scans, "left_out": self.left_out, "test_images": self.test_images}


def select(
    folder: UnlabelledFolder,
    plans: Mapping[str, Any],
    configuration: Mapping[str, Any],
    cases: Cases | None,
    contents: Mapping[str, Content],
    wanted: bool | float | None,
) -> Selection:
    """The scans for a fold.

    Args:
        configuration: resolved.
        cases: of the fold; None where nnU-Net has yet to draw them.
        contents: of their preprocessed images.
        wanted: ``lwi.init.unlabelled``: all, none, a share of them, or, where it is None, what there is.

    Raises:
        UserError: scans are asked for and there are none, or they were preprocessed by another plan than this.
    """
    if wanted is False:
        return Selection()
    journal = folder.read()
    there = usable_scans(folder, journal, plans, configuration)
    if not there:
        if wanted is None:
            return Selection()
        raise UserError(
            f"lwi.init.unlabelled = {wanted!r} in the plan asks for scans without labels, and there are none in "
            f"{folder.path}: run {_command(plans)}, or set it to null or false."
        )
    drawn = sorted(there) if wanted in (None, True) else _share(sorted(there), float(wanted or 0))
    scans = {name: content for name in drawn if (content := there[name].content) is not None}
    of_fold = shared(contents, scans)
    validated = set() if cases is None else set(cases.val) - set(cases.train)
    kept = {
        name: content
        for name, content in scans.items()
        if name not in of_fold or (journal.allows_test_images and of_fold[name] in validated)
    }
    marked = [name for name in kept if name in of_fold or there[name].test_image is not None]
    return Selection(kept, {name: of_fold[name] for name in scans if name not in kept}, marked)


def test_images_among(folder: UnlabelledFolder, names: Collection[str]) -> list[str]:
    """Which of some scans are images of the test, as the journal has them."""
    entries = folder.read().entries
    return sorted(name for name in names if name in entries and entries[name].test_image is not None)


def usable_scans(
    folder: UnlabelledFolder, journal: Journal, plans: Mapping[str, Any], configuration: Mapping[str, Any]
) -> dict[str, Entry]:
    """Those that are there, by name.

    Raises:
        UserError: they were preprocessed by another plan than this.
    """
    there = folder.scans(journal)
    if there and journal.made_for != made_for(plans, configuration):
        raise UserError(
            f"The scans without labels in {folder.path} were preprocessed by another plan than this: run {_command(plans)} "
            "again, or set lwi.init.unlabelled to false."
        )
    return there


def _command(plans: Mapping[str, Any]) -> str:
    return f"nnUNetv2_lwi unlabelled -d {plans['dataset_name']} -p {plans['plans_name']} -c CONFIGURATION"


def _share(names: list[str], share: float) -> list[str]:
    """About that part of them, at least one: a name's digest decides, so that what is drawn stays when scans are added."""
    drawn = [name for name in names if _place(name) < share]
    return drawn or [min(names, key=_place)]


def _place(name: str) -> float:
    """Between 0 and 1, even over names."""
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big") / 2**64
