"""Which run a checkpoint is of: its cases, its data and its plan, so that no other run goes on from it or passes for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from nnunetv2_lwi.errors import UserError, shortened
from nnunetv2_lwi.handover.digest import differing_keys
from nnunetv2_lwi.handover.plain import plain
from nnunetv2_lwi.nnunet.contents import Content, changed, read_contents
from nnunetv2_lwi.nnunet.folders import folder_of
from nnunetv2_lwi.nnunet.split_file import Cases
from nnunetv2_lwi.planning.settings import InitSettings
from nnunetv2_lwi.unlabelled.alone import is_alone
from nnunetv2_lwi.unlabelled.folder import UnlabelledFolder, own_identifier
from nnunetv2_lwi.unlabelled.selection import Selection, select, test_images_among

Record = dict[str, Any]
"""Plain values: ``dataset``, ``train`` and ``val`` (cases), ``plan``, ``contents``, and what one step alone has: ``labels``
(step 2) and ``unlabelled`` (step 1)."""
UNLABELLED = "unlabelled"
TEST_SCANS = "scans of the test"
"""Key of what a step 2 knows of scans that show test images: the case, by scan."""
NEW_SCANS, GONE_SCANS = "scans without labels that are new", "scans without labels that are gone"

OF_THE_CONFIGURATION = ("batch_size", "data_identifier", "normalization_schemes", "use_mask_for_norm")
BATCH_DICE = "batch_dice"
OF_THE_LABELS = ("labels", "regions_class_order")


def make_record(
    plans: Mapping[str, Any],
    configuration: Mapping[str, Any],
    cases: Cases | None,
    contents: Mapping[str, Content],
    dataset_json: Mapping[str, Any] | None,
) -> Record:
    """Of a run that begins or goes on now.

    Args:
        configuration: resolved.
        cases: for training and for validation; None where nnU-Net has yet to draw them.
        contents: of their preprocessed data.
        dataset_json: for a run that reads labels.
    """
    train, val = ([], []) if cases is None else map(sorted, cases)
    plan = {key: configuration[key] for key in OF_THE_CONFIGURATION if key in configuration}
    record: Record = {
        "dataset": plans["dataset_name"],
        "train": train,
        "val": val,
        "plan": plan
        | {"data_identifier": own_identifier(configuration["data_identifier"])}
        | {"intensities": _comparable(plans.get("foreground_intensity_properties_per_channel"))},
        "contents": {case: content.plain() for case, content in contents.items()},
    }
    if dataset_json is not None:
        record["plan"][BATCH_DICE] = configuration.get(BATCH_DICE)
        record["labels"] = {key: dataset_json.get(key) for key in OF_THE_LABELS}
    return dict(plain(record))


def record_of(
    plans: Mapping[str, Any],
    configuration: Mapping[str, Any],
    cases: Cases | None,
    dataset_json: Mapping[str, Any] | None,
    init: InitSettings | None = None,
) -> Record:
    """The same, of data as they lie in nnUNet_preprocessed, as far as they do.

    Args:
        init: of a run that draws from scans without labels where there are some.

    Raises:
        UserError: the plan asks for scans without labels that are not there, or they are another plan's.
    """
    dataset, identifier = folder_of("nnUNet_preprocessed") / plans["dataset_name"], configuration["data_identifier"]
    folder = dataset / identifier
    names = [] if cases is None else [*cases.train, *cases.val]
    contents = read_contents(folder, names) if folder.is_dir() else {}
    record = make_record(plans, configuration, cases, contents, dataset_json)
    if init is not None:
        beside = UnlabelledFolder.beside(dataset, identifier)
        if is_alone(configuration):
            selection = Selection(test_images=test_images_among(beside, names))
        else:
            selection = select(beside, plans, configuration, cases, contents, init.unlabelled)
        record[UNLABELLED] = plain(selection.plain())
    return record


def with_scans(record: Record, plans: Mapping[str, Any], configuration: Mapping[str, Any], init: InitSettings) -> Record:
    """The record of a step 2, which scans show test images, and, where that can be told, which a step 1 would draw from."""
    cases, contents = Cases(record["train"], record["val"]), read_plain(record)
    beside = UnlabelledFolder.beside(
        folder_of("nnUNet_preprocessed") / plans["dataset_name"], configuration["data_identifier"]
    )
    entries = beside.read().entries.items()
    record = {**record, TEST_SCANS: {name: entry.test_image for name, entry in entries if entry.test_image is not None}}
    try:
        selection = select(beside, plans, configuration, cases, contents, init.unlabelled)
    except UserError:
        return record
    return {**record, UNLABELLED: plain(selection.plain())}


def differences(theirs: Record | None, ours: Record) -> list[str]:
    """One text per thing in which a run differs from the one that a checkpoint is of; earlier versions recorded nothing."""
    if theirs is None:
        return []
    if theirs["dataset"] != ours["dataset"]:
        return [f"the data set was {theirs['dataset']}, here {ours['dataset']}"]
    parts = ("train", "val") if ours["train"] else ()
    found = [text for part in parts for text in _other_cases(part, theirs[part], ours[part])]
    with_labels = "labels" in theirs and "labels" in ours
    found += differing_keys({"plan": _plan(theirs, with_labels)}, {"plan": _plan(ours, with_labels)})
    if with_labels:
        found += differing_keys({"dataset.json": theirs["labels"]}, {"dataset.json": ours["labels"]})
    if UNLABELLED in ours and ours["train"]:
        found += _other_scans(_scans(theirs), _scans(ours))
    other = changed(read_plain(theirs), read_plain(ours), with_labels)
    if other:
        what = "images or labels" if with_labels else "images"
        found.append(f"the preprocessed {what} of {len(other)} cases are others than then: {shortened(other)}")
    return found


def _comparable(value: Any) -> Any:
    """NaN, as nnU-Net gives for a data set without foreground, is a word: it does not equal itself."""
    if isinstance(value, Mapping):
        return {key: _comparable(entry) for key, entry in value.items()}
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def read_plain(record: Record) -> dict[str, Content]:
    """The contents in a record."""
    return {case: Content.from_plain(value) for case, value in record["contents"].items()}


def read_scans(record: Record) -> dict[str, Content]:
    """What the scans without labels show that a run draws from; none where it knows of none."""
    return {name: Content.from_plain(value) for name, value in _scans(record).items()}


def only_scans_are_new(texts: Sequence[str]) -> bool:
    """Whether nothing else differs, and none is gone."""
    return len(texts) > 0 and all(text.startswith(NEW_SCANS) for text in texts)


def _scans(record: Record) -> Mapping[str, Any]:
    scans: Mapping[str, Any] = record.get(UNLABELLED, {}).get("scans", {})
    return scans


def _other_scans(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    gone, new = sorted(theirs.keys() - ours.keys()), sorted(ours.keys() - theirs.keys())
    there, here = (
        {name: Content.from_plain(scans[name]) for name in theirs.keys() & ours.keys()} for scans in (theirs, ours)
    )
    texts = [f"{NEW_SCANS}: {len(new)} ({shortened(new)})"] if new else []
    texts += [f"{GONE_SCANS}: {len(gone)} ({shortened(gone)})"] if gone else []
    other = changed(there, here, with_labels=False)
    return texts + ([f"scans without labels that are others than then: {len(other)} ({shortened(other)})"] if other else [])


def _plan(record: Record, with_labels: bool) -> Mapping[str, Any]:
    return record["plan"] if with_labels else {key: value for key, value in record["plan"].items() if key != BATCH_DICE}


def _other_cases(part: str, theirs: Sequence[str], ours: Sequence[str]) -> list[str]:
    names = {"train": "training", "val": "validation"}
    gone, new = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
    texts = [f"{len(new)} {names[part]} cases are new: {shortened(new)}"] if new else []
    return texts + ([f"{len(gone)} {names[part]} cases are gone: {shortened(gone)}"] if gone else [])
