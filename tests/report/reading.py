"""Reads a page back: whether it is well-formed, what it would load, its tables and texts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

VOID = {"meta", "img", "input"}


class Page(HTMLParser):
    """Tags, texts and tables of a page, which must close what it opens."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
        elif re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        elif tag == "caption":
            self._caption = ""

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"{tag} closes what is not open"
        if tag == "table":
            self.tables.setdefault(self._caption, self._rows)

    def handle_data(self, data):
        within = self.open[-1] if self.open else ""
        if within not in ("style", "script"):
            self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self._rows[-1][-1] += data
        elif "caption" in self.open:
            self._caption += data
        elif re.fullmatch("h[1-6]", within):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def row(self, caption: str, first: str) -> dict[str, str]:
        """The row of a table that begins so, by the names of its columns."""
        head, *rows = self.tables[caption]
        return dict(zip(head, next(row for row in rows if row[0] == first), strict=True))


def read_page(path: Path) -> Page:
    """The page in a file, which loads nothing, names nothing twice and can be used without a mouse."""
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 10_000_000
    page = Page(text)
    loads = {"src", "href", "xlink:href", "action", "data", "poster", "srcset", "background"}
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        assert not any(name.startswith("on") for name in attributes), attributes
        for name in loads & attributes.keys():
            assert str(attributes[name]).startswith(("data:image/png;base64,", "#")), attributes[name]
        if tag == "img":
            assert attributes["alt"]
    assert not re.search(r"url\((?!#)", text) and "@import" not in text
    script = re.sub(r"<svg.*?>", "", text)
    assert not re.search(r"https?://", script.replace("http://www.w3.org/1999/xlink", ""))
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    anchors = {str(attributes["href"])[1:] for tag, attributes in page.tags if tag == "a"}
    assert anchors and anchors <= set(names)
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in pairwise(levels))
    labels = {attributes.get("for") for tag, attributes in page.tags if tag == "label"}
    assert {attributes["id"] for tag, attributes in page.tags if tag == "input"} == labels
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    return page
