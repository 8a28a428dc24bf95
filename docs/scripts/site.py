"""What mkdocs is taught besides its settings (``hooks`` in mkdocs.yml), so that the site needs no network when it is read.

A flowchart, which the forge draws by mermaid, becomes rows of boxes: mkdocs-material would fetch mermaid from elsewhere.
Roles in docstrings (``:func:`name```) become the name.
"""

from __future__ import annotations

import re
from typing import Any

FLOWCHART = re.compile(r"^```mermaid\nflowchart TB\n((?:    \w+ --> \w+\n)+)```$", flags=re.MULTILINE)
ROLE = re.compile(r":(?:meth|func|class|attr|data):<code>(?:~[\w.]*\.)?([\w.]+)</code>")


def rows_of(edges: list[tuple[str, str]]) -> list[list[str]]:
    """The boxes of a chart without circles, each in the row below the lowest that leads to it."""
    row = {box: 0 for edge in edges for box in edge}
    for _ in row:
        for above, below in edges:
            row[below] = max(row[below], row[above] + 1)
    return [[box for box, place in row.items() if place == level] for level in range(max(row.values()) + 1)]


def drawn(chart: re.Match[str]) -> str:
    """The chart as HTML."""
    edges = [(above, below) for above, below in re.findall(r"(\w+) --> (\w+)", chart.group(1))]
    rows = ("".join(f"<span>{box}</span>" for box in boxes) for boxes in rows_of(edges))
    return '<div class="rooms">' + "".join(f"<div>{row}</div>" for row in rows) + "</div>"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with a page's text."""
    return FLOWCHART.sub(drawn, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Called by mkdocs with a page's HTML."""
    return ROLE.sub(r"<code>\1</code>", html)
