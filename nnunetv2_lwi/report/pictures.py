"""Pictures within the page, as data: those that a run or a comparison wrote, up to a number of bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from nnunetv2_lwi.report.markup import Html, figure, joined, paragraph, tag

PNG = b"\x89PNG\r\n\x1a\n"
OF_EPOCHS, OF_CASES = 2_000_000, 1_500_000
"""Bytes of the pictures of step 1; those of a page are a third more."""


def as_data(png: bytes) -> str:
    """The address of a picture that needs no file."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def read_pictures(paths: Sequence[Path], most: int) -> dict[Path, bytes]:
    """PNG files, spread evenly over all of them, as many as go into a number of bytes."""
    found = {path: content for path in paths if (content := _read(path)).startswith(PNG)}
    names, total = list(found), sum(map(len, found.values()))
    if not names or total <= most:
        return found
    number = min(len(names), max(1, int(len(names) * most / total)))
    kept = [names[-1]] if number == 1 else [names[round(i * (len(names) - 1) / (number - 1))] for i in range(number)]
    return {path: found[path] for path in kept if len(found[path]) <= most}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def shown_pictures(pictures: dict[Path, bytes], what: str) -> Html:
    """One below the other, each with its file's name."""
    return joined(
        *(
            figure(tag("img", src=as_data(png), alt=f"{what}: {path.stem}", loading="lazy"), f"{what}: {path.stem}")
            for path, png in pictures.items()
        )
    )


def slider(number: int, first: int, captions: Sequence[str], label: str, name: str) -> Html:
    """A range that the arrow keys move too, and what it points at in words.

    Args:
        number: how many there are to choose from.
        name: that no other slider of the page has.
    """
    return tag(
        "div",
        tag("label", label, for_=name),
        tag("input", type="range", id=name, min=0, max=number - 1, step=1, value=first, aria_valuetext=captions[first]),
        tag("output", captions[first], for_=name),
        class_="slider",
    )


def step1_pictures(folder: Path) -> Html | None:
    """What step 1 wrote itself: one patch by epoch, and a patch of a few validation cases; None before there are any."""
    parts = list(_parts(folder))
    return joined(*parts) if parts else None


def _parts(folder: Path) -> Iterator[Html]:
    of_epochs = read_pictures(sorted((folder / "pictures").glob("epoch_*.png")), OF_EPOCHS)
    if of_epochs:
        yield paragraph("The same patch of a validation case, transformed alike, through the training:")
        yield _through_epochs(of_epochs)
    of_cases = read_pictures(sorted((folder / "validation").glob("*.png")), OF_CASES)
    if of_cases:
        yield paragraph("The patch in the middle of a validation case, after the training:")
        yield shown_pictures(of_cases, "validation case")


def _through_epochs(pictures: dict[Path, bytes]) -> Html:
    last = len(pictures) - 1
    captions = [
        f"epoch {int(path.stem.removeprefix('epoch_')) if path.stem[6:].isdecimal() else path.stem}" for path in pictures
    ]
    frames = [
        tag("img", src=as_data(png), alt=f"step 1, {caption}", data_frame=True, hidden=number != last)
        for number, (caption, png) in enumerate(zip(captions, pictures.values(), strict=True))
    ]
    return tag(
        "div",
        slider(len(frames), last, captions, "Epoch", "epochs"),
        *frames,
        class_="frames",
        role="group",
        aria_label="Pictures by epoch",
        data_captions=json.dumps(captions),
    )
