"""HTML from Python: every text is escaped unless it is HTML already, so that a name from a user is shown and never read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

VOID = {"meta", "img", "input"}
"""Elements without content."""


class Html(str):
    """Text that is HTML: made by the functions here, or by matplotlib."""

    __slots__ = ()


def joined(*children: Any) -> Html:
    """Children one after the other: HTML as it is, anything else as escaped text, None as nothing."""
    return Html("".join(child if isinstance(child, Html) else escape(str(child)) for child in children if child is not None))


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element.

    Args:
        name: of the element.
        children: what it holds.
        attributes: ``class_`` and ``aria_label`` become ``class`` and ``aria-label``; True is an attribute without a value,
            None and False are none.
    """
    written = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    return Html(f"<{name}{written}>" if name in VOID else f"<{name}{written}>{joined(*children)}</{name}>")


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def paragraph(*children: Any) -> Html:
    """A paragraph."""
    return tag("p", *children)


def listed(entries: Iterable[Any]) -> Html:
    """A list, one entry a line."""
    return tag("ul", *(tag("li", entry) for entry in entries))


def table(caption: str, rows: Sequence[Sequence[Any]], row_heads: int = 1, kind: str | None = None) -> Html:
    """A table that scrolls within its own box where the screen is narrow.

    Args:
        rows: the first is the head.
        row_heads: how many cells at the beginning of a row say what the row is of.
        kind: ``scores``: short cells, of one line each.
    """
    head, *body = rows
    columns = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    lines = (
        tag(
            "tr",
            *(tag("th", cell, scope="row") for cell in row[:row_heads]),
            *(tag("td", cell) for cell in row[row_heads:]),
        )
        for row in body
    )
    whole = tag("table", tag("caption", caption), tag("thead", columns), tag("tbody", *lines), class_=kind)
    return tag("div", whole, class_="scroll", role="region", tabindex="0", aria_label=caption)


def facts(caption: str, values: Mapping[str, Any]) -> Html:
    """A table of two columns: what, and its value."""
    return table(caption, [["what", "value"], *([key, shown(value)] for key, value in values.items())])


def shown(value: Any) -> Any:
    """A plain value as people read it."""
    if isinstance(value, Html):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(shown(entry)) for entry in value) if not any(map(_nested, value)) else str(list(value))
    return value


def _nested(value: Any) -> bool:
    return isinstance(value, (list, tuple, Mapping))


def folded(summary: str, *children: Any) -> Html:
    """What is shown on demand."""
    return tag("details", tag("summary", summary), *children)


def figure(content: Any, caption: Any, legend: Html | None = None) -> Html:
    """A picture with its legend and what it shows in words."""
    return tag("figure", content, legend, tag("figcaption", caption))
