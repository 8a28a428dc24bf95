"""The whole page: head, contents, sections. It may load nothing, and only its own script runs in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import nnunetv2_lwi
from nnunetv2_lwi.report.assets import SCRIPT, STYLE
from nnunetv2_lwi.report.markup import Html, joined, paragraph, tag


@dataclass(frozen=True)
class Section:
    """A part of the page, with its heading."""

    title: str
    body: Html


def section(title: str, *children: Any) -> Section:
    """A section of what there is; a child that is None is left out."""
    return Section(title, joined(*children))


def subheading(title: str) -> Html:
    """Within a section."""
    return tag("h3", title)


def whole_page(title: str, introduction: Html, sections: Sequence[Section]) -> str:
    """The text of the file."""
    parts = [
        tag("section", tag("h2", one.title, id=f"part{number}"), one.body, aria_labelledby=f"part{number}")
        for number, one in enumerate(sections)
    ]
    contents = tag("ul", *(tag("li", tag("a", one.title, href=f"#part{n}")) for n, one in enumerate(sections)))
    body = tag(
        "body",
        tag("header", tag("h1", title), introduction, tag("nav", contents, aria_label="Contents")),
        tag("main", *parts),
        tag("footer", paragraph(f"Written by nnunetv2_lwi {nnunetv2_lwi.__version__}, {datetime.now():%Y-%m-%d %H:%M}.")),
        tag("script", Html(SCRIPT)),
    )
    return f"<!DOCTYPE html>\n{tag('html', _head(title), body, lang='en')}\n"


def _head(title: str) -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )


def _policy() -> str:
    """What a browser may do with the page: show it. A script that came in with a name would not run."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
