"""Bringing a configuration's scans without labels up to date with the raw files: what is made already stays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

from tqdm import tqdm

from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.nnunet.contents import Content, shared
from nnunetv2_lwi.nnunet.inheritance import resolve
from nnunetv2_lwi.unlabelled.folder import Entry, Journal, UnlabelledFolder
from nnunetv2_lwi.unlabelled.preparation import made_for
from nnunetv2_lwi.unlabelled.preprocessing import GO_ON, NOT_FOR_GOOD, Preparation, is_still, preprocess, read_raw
from nnunetv2_lwi.unlabelled.raw_scans import Found, RawScan


@dataclass
class Outcome:
    """What a call came to.

    Attributes:
        made: scans that were preprocessed now.
        kept: scans that had been.
        left_out: why each of the others cannot be used, by name.
        test_images: scans that are left out as images of the test, with the case whose image it is.
        removed: scans whose files are no longer there, which were removed.
        orphans: the same, which stay in use.
    """

    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    test_images: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)

    @property
    def usable(self) -> int:
        """How many there are for step 1."""
        return len(self.made) + len(self.kept) + len(self.orphans)


def still_valid(journal: Journal, now: Mapping[str, Any], folder: UnlabelledFolder) -> dict[str, Entry]:
    """Entries that hold for the plan as it is now, and whose preprocessed files are there."""
    if journal.made_for != now:  # which image a scan shows is no matter of the plan
        marked = (entry for entry in journal.entries.values() if entry.raw is not None and entry.test_image is not None)
        return {entry.name: replace(entry, content=None) for entry in marked}
    there = set(folder.files())
    return {name: entry for name, entry in journal.entries.items() if entry.content is None or name in there}


def update(preparation: Preparation, found: Found, processes: int, prune: bool) -> Outcome:
    """Preprocess what is new or changed.

    Args:
        found: the raw scans.
        prune: whether to remove scans whose raw files are not among them.

    Raises:
        UserError: as :func:`~.preprocessing.preprocess`; or scans would have to be made anew whose files are not there.
    """
    folder, outcome = preparation.folder, Outcome(left_out=dict(found.incomplete))
    shutil.rmtree(preparation.partial, ignore_errors=True)  # of a call that was killed
    now = made_for(preparation.plans, resolve(preparation.plans, preparation.configuration))
    raw = {scan.name: scan for scan in found.scans}
    journal = folder.read()
    entries = still_valid(journal, now, folder)
    orphans = {name for name, entry in entries.items() if _is_orphan(entry, raw, found)}
    lost = [entry.name for entry in journal.entries.values() if journal.made_for != now and _is_orphan(entry, raw, found)]
    if lost and not prune:
        raise UserError(
            f"Another plan than this preprocessed the scans in {folder.path}, and the files of {len(lost)} of them are not "
            f"in these folders: {shortened(sorted(lost))}. Name their folder too (-i), or append --prune to do without them."
        )
    if prune:
        outcome.removed, orphans = sorted(orphans), set()
    unchanged = {
        name: entry
        for name, entry in entries.items()
        if name in orphans or (name in raw and is_still(raw[name], entry.state) and not _is_to_try_again(entry))
    }
    entries = dict(_with_test_images(unchanged, preparation.test_images))
    folder.begin(now, preparation.allows_test_images, list(entries.values()))
    to_do = {name for name in raw if name not in entries or _is_wanted_now(entries[name], preparation)}
    to_stay = to_do | {name for name, entry in entries.items() if entry.content is not None}
    for name in set(folder.files()) - to_stay:
        folder.remove(name)  # of those that are made anew the old files stand until then: a step 1 may be reading them
    for name in sorted(entries.keys() - to_do):
        _note(outcome, entries[name], preparation, outcome.orphans if name in orphans else outcome.kept)
    _make(preparation, [raw[name] for name in sorted(to_do)], processes, outcome)
    return outcome


def _is_orphan(entry: Entry, raw: Mapping[str, RawScan], found: Found) -> bool:
    """Whether a scan is preprocessed whose files are no longer there."""
    return entry.content is not None and entry.name not in raw and entry.name not in found.incomplete


def _make(preparation: Preparation, scans: Sequence[RawScan], processes: int, outcome: Outcome) -> None:
    """Preprocess scans; each stands in the journal when it is whole."""
    if not scans:
        return
    with tqdm(total=len(scans), desc=f"Preprocessing scans for {preparation.configuration}", disable=None) as progress:
        for entry in preprocess(preparation, scans, processes):
            preparation.folder.add(entry)
            if entry.content is None:
                preparation.folder.remove(entry.name)
            _note(outcome, entry, preparation, outcome.made)
            progress.update()


def read_test_images(plans: dict[str, Any], cases: Sequence[RawScan], processes: int) -> dict[str, Content]:
    """What each raw image of the test shows; of those that cannot be read, nothing.

    Raises:
        UserError: there is not enough memory.
    """
    if not cases:
        return {}
    try:
        with ProcessPoolExecutor(min(processes, len(cases)), get_context("spawn")) as pool:
            contents = list(
                tqdm(pool.map(partial(read_raw, plans), cases), "Reading test images", total=len(cases), disable=None)
            )
    except (BrokenProcessPool, MemoryError) as error:
        raise UserError(
            f"There is not enough memory to read the images of imagesTs: take fewer processes (-np), and {GO_ON}."
        ) from error
    return {case.name: content for case, content in zip(cases, contents, strict=True) if content is not None}


def _with_test_images(entries: Mapping[str, Entry], test_images: Mapping[str, Content]) -> Iterator[tuple[str, Entry]]:
    """The entries, marked by the test images that there are now; a mark stays where its test image is not at hand."""
    raw = {name: entry.raw for name, entry in entries.items() if entry.raw is not None}
    matches = shared(test_images, raw)
    for name, entry in entries.items():
        kept = entry.test_image if entry.test_image not in test_images else None
        yield name, replace(entry, test_image=matches.get(name, kept))


def _is_to_try_again(entry: Entry) -> bool:
    return entry.left_out is not None and entry.left_out.startswith(NOT_FOR_GOOD)


def _is_wanted_now(entry: Entry, preparation: Preparation) -> bool:
    """An image of the test, or one that was, which was not preprocessed for that."""
    unmade = entry.content is None and entry.left_out is None
    return unmade and (preparation.allows_test_images or entry.test_image is None)


def _note(outcome: Outcome, entry: Entry, preparation: Preparation, usable: list[str]) -> None:
    if entry.left_out is not None:
        outcome.left_out[entry.name] = entry.left_out
    elif entry.test_image is not None and not preparation.allows_test_images:
        outcome.test_images[entry.name] = entry.test_image
    else:
        usable.append(entry.name)
