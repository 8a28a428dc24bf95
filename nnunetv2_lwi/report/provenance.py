"""Where a run comes from: its data, their digests, what it started from, with which versions; and what its log warns of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nnunetv2_lwi.planning.settings import flatten
from nnunetv2_lwi.report.markup import Html, facts, folded, joined, paragraph, shown, table
from nnunetv2_lwi.report.page import subheading
from nnunetv2_lwi.report.run import Step, mapping

SAID_OF_A_START = ("Start:", "Resumed from", "They are those of step 1")
DIGITS = 12
"""Of a digest, shown."""


def provenance_of(step: Step) -> Html:
    """What the newest checkpoint says of its run."""
    if step.checkpoint is None:
        return joined(_start(step), paragraph("There is no checkpoint yet, which would say where the run comes from."))
    run, provenance = mapping(step.state.get("run")), mapping(step.state.get("provenance"))
    start = mapping(step.state.get("start"))
    return joined(
        _start(step),
        facts("The checkpoint", _file(step)),
        facts("What it started from", flatten({"start": _without_lists(start)})) if start else None,
        facts("Where it comes from", _without_lists(provenance)) if provenance else None,
        _versions(provenance, start),
        facts("What of the plan its data depend on", flatten(mapping(run.get("plan")))) if run.get("plan") else None,
        *_cases(run, provenance),
        _contents(run),
        folded("What the weights depend on (digest)", facts("Digest", flatten(mapping(step.state.get("digest"))))),
    )


def warnings_of(steps: Sequence[Step]) -> Html:
    """Of every step's log."""
    parts = []
    for step in steps:
        parts.append(subheading(f"Step {step.number}"))
        if step.warnings:
            parts.append(table(f"Warnings of step {step.number}", [["when", "what"], *map(list, step.warnings)]))
        else:
            parts.append(paragraph("None." if step.log else "There is no log."))
    return joined(*parts)


def _start(step: Step) -> Html | None:
    """As the log tells it, resumed runs with each of their starts."""
    rows = [[when, text] for when, text in step.log if text.startswith(SAID_OF_A_START)]
    return table("Starts, by the log", [["when", "what"], *rows]) if rows else None


def _file(step: Step) -> dict[str, Any]:
    assert step.checkpoint is not None
    status = step.checkpoint.stat()
    return {
        "file": step.checkpoint,
        "MiB": f"{status.st_size / 2**20:.1f}",
        "written": f"{datetime.fromtimestamp(status.st_mtime):%Y-%m-%d %H:%M}",
        "format": step.state.get("format"),
    }


def _without_lists(values: Mapping[str, Any]) -> dict[str, Any]:
    """Long lists and versions have tables of their own."""
    kept = {key: value for key, value in values.items() if not isinstance(value, (list, tuple, Mapping))}
    counted = {f"{key} (number)": len(value) for key, value in values.items() if isinstance(value, (list, tuple))}
    return kept | counted


def _versions(provenance: Mapping[str, Any], start: Mapping[str, Any]) -> Html | None:
    """Of this run, or of the step 1 that it started from."""
    own, others = mapping(provenance.get("versions")), mapping(mapping(start.get("provenance")).get("versions"))
    if own:
        return facts("Versions", own)
    return facts("Versions of its step 1", others) if others else None


def _cases(run: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[Html]:
    lists = {
        "training cases": run.get("train"),
        "validation cases": run.get("val"),
        "cases whose images it saw": provenance.get("cases"),
        "images of the test that it saw": provenance.get("test_images"),
    }
    return [
        folded(f"{len(names)} {what}", paragraph(", ".join(map(str, names))))
        for what, names in lists.items()
        if isinstance(names, (list, tuple)) and names
    ]


def _contents(run: Mapping[str, Any]) -> Html | None:
    """Digests of the preprocessed cases, and of the scans without labels."""
    tables = []
    for title, contents in (
        ("Digests of the preprocessed cases", mapping(run.get("contents"))),
        ("Digests of the scans without labels", mapping(mapping(run.get("unlabelled")).get("scans"))),
    ):
        if contents:
            rows = [["case", "shape", "voxels", "labels"], *([case, *_digested(value)] for case, value in contents.items())]
            tables.append(folded(f"{title}: {len(contents)}", table(title, rows)))
    return joined(*tables) if tables else None


def _digested(content: Any) -> list[Any]:
    """Shape, a digest of the voxels that a record keeps, and what it says of the labels."""
    known = mapping(content)
    digest = hashlib.sha256(json.dumps(known.get("voxels"), default=str).encode()).hexdigest()[:DIGITS]
    return [shown(known.get("shape")), digest, shown(known.get("labels"))]
