"""Every measured figure in README and docs comes from a file in docs/results, and a comment before it says from which.

    <!-- figures: hippocampus.csv#unetr_600, confirmation_btcv.csv#dice -->           before a table: cell by cell
    <!-- figures in words: derived.csv#btcv, =0.75 -->                                before words: each decimal number
    <!-- figures row by row: derived.csv#btcv / none / derived.csv#brain -->          the same for each row of a table
    <!-- no figures: settings -->                                                     before a table of other numbers

Files with the columns table, row, column, figure hold tables as they are printed. What there are runs for is computed again:
tables by the functions below, single figures by what ``derived.csv`` says of them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from statistics import correlation

import numpy as np
import pytest
from numpy.typing import NDArray

from nnunetv2_lwi.comparison.statistics import paired_difference

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MEASUREMENTS = 5
"""A table with so many decimal numbers needs a comment."""

COMMENT = re.compile(r"<!-- (figures|figures in words|figures row by row|no figures): (.+) -->")
DECIMAL = re.compile(r"(?<![\w.])[-+]?\d*\.\d+(?!\w|\.\d)")
NOT_WORDS = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+|arXiv \S+", flags=re.DOTALL)

Row = dict[str, str]
Cells = dict[tuple[int, str], str]
"""By the number of the row, from 1, and the column's header."""


@cache
def rows_of(name: str) -> list[Row]:
    with (RESULTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True)
class Block:
    """A paragraph, list or table of a page, and what the comment before it says."""

    line: int
    text: str
    kind: str | None
    sources: list[str]

    @property
    def is_table(self) -> bool:
        return self.text.startswith("|")

    def cells(self) -> Cells:
        """Of a table; a header that comes again is told by a number."""
        header, _, *rows = ([cell.strip() for cell in line.strip("| ").split("|")] for line in self.text.splitlines())
        names = [f"{name} ({header[: i + 1].count(name)})" if name in header[:i] else name for i, name in enumerate(header)]
        return {(number, name): cell for number, row in enumerate(rows, 1) for name, cell in zip(names, row, strict=False)}


def blocks_of(text: str) -> Iterator[Block]:
    kind: str | None = None
    sources: list[str] = []
    without_code = re.sub(r"^( *)```.*?^\1```", lambda m: "\n" * m.group().count("\n"), text, flags=re.DOTALL | re.MULTILINE)
    for match in re.finditer(r"(?:^[^\n]+\n?)+", without_code, flags=re.MULTILINE):
        block = match.group().strip()
        if comment := COMMENT.fullmatch(block):
            between = " / " if comment[1] == "figures row by row" else ", "
            kind, sources = comment[1], [source.strip() for source in comment[2].split(between)]
            continue
        yield Block(text[: match.start()].count("\n") + 1, block, kind, sources)
        kind, sources = None, []


def mean(rows: list[Row], column: str) -> float:
    assert rows
    return sum(float(row[column]) for row in rows) / len(rows)


def selected(name: str, where: str) -> list[Row]:
    """Rows of a file: ``arm=random``; several conditions are joined by ``;``."""
    wanted = [condition.partition("=")[::2] for condition in where.split(";")]
    return [row for row in rows_of(name) if all(row[key] == value for key, value in wanted)]


def in_percent(value: float) -> str:
    return f"{100 * value:.1f}"


def confirmation(name: str, *arms_by_row: str) -> Cells:
    """Means over seeds, and the difference of the averages."""
    cells: Cells = {}
    arms = [selected(name, f"arm={arm}") for arm in arms_by_row]
    organs = ("spleen", "right kidney", "left kidney", "liver", "stomach", "aorta", "average")
    column = "test_plain_Dice_average"
    for number, rows in enumerate(arms, 1):
        for organ in organs:
            cells[number, organ] = in_percent(mean(rows, f"test_plain_Dice_{organ.replace(' ', '_')}"))
        if number > 1:
            cells[number, "difference"] = f"{100 * (mean(rows, column) - mean(arms[0], column)):+.1f}"
    return cells


def scores_by_seed_and_case(name: str, arm: str, part: str) -> NDArray[np.float64]:
    """(seeds, cases), each the mean over the classes, of a file of single cases."""
    scores: dict[str, dict[str, list[float]]] = {}
    for row in selected(name, f"arm={arm};part={part}"):
        scores.setdefault(row["seed"], {}).setdefault(row["case"], []).append(float(row["Dice"]))
    cases = sorted(scores["0"])
    return np.array([[np.mean(of_seed[case]) for case in cases] for of_seed in scores.values()])


def intervals_btcv_10400() -> Cells:
    """Masking alone beside a random start, as a comparison reports it: the table's second row; then by validation cases."""
    cells: Cells = {}
    for row, part in enumerate(("test_plain", "validation_plain", "validation_mirrored"), 2):
        arm, baseline = (scores_by_seed_and_case("cases_btcv_10400.csv", name, part) for name in ("mask_all", "random"))
        found = (100 * value for value in astuple(paired_difference(arm, baseline)))
        cells[row, "difference"] = "{:+.1f} ({:+.1f} to {:+.1f})".format(*found)
    return cells


def handover() -> Cells:
    name, cells = "handover_hippocampus.csv", {}
    (random,) = selected(name, "arm=random")
    arms = ["network", "all_but_last_stage", "all_but_last_two_stages", "encoder"]
    rows = [
        random,
        *(selected(name, f'arm=lwi seg.hand_over="{arm}"')[0] for arm in arms),
        *rows_of("recipe_hippocampus.csv"),
    ]
    for number, row in enumerate(rows, 1):
        test = float(row["test_plain_Dice_average"])
        cells[number, "validation (with mirroring)"] = in_percent(float(row["validation_mirrored_Dice_average"]))
        cells[number, "test"] = in_percent(test)
        if number > 1:
            cells[number, "difference to random, test"] = f"{100 * (test - float(random['test_plain_Dice_average'])):+.1f}"
    return cells


def probes() -> Cells:
    rows = rows_of("probes_btcv.csv")
    recipes = dict.fromkeys(["random, as drawn", *(row["step1"] for row in rows)])
    number = {recipe: place for place, recipe in enumerate(recipes, 1)}
    return {(number[row["step1"]], row["stage"]): row["AUC"].lstrip("0") for row in rows}


SHARES_OF_STEP2 = (5, 10, 20, 50)
EPOCHS_OF_A_LEAD = 3


def step2_curve(rows: list[Row], like: Row) -> list[float]:
    """Pseudo Dice in percent, epoch by epoch."""
    keys = ("arm", "cases", "seed")
    return [100 * float(row["pseudo_Dice"]) for row in rows if all(row[key] == like[key] for key in keys)]


def lead(curve: list[float], baseline: list[float], share: int) -> float:
    """Over the last few epochs of a share of step 2, in percent."""
    end = max(EPOCHS_OF_A_LEAD, round(len(curve) * share / 100))
    ours, theirs = (values[end - EPOCHS_OF_A_LEAD : end] for values in (curve, baseline))
    return (sum(ours) - sum(theirs)) / EPOCHS_OF_A_LEAD


def early_leads() -> Cells:
    """Of each run with a step 1 over the random start of its seed; and how each lead correlates with the end's."""
    cells: Cells = {}
    columns: list[list[float]] = [[] for _ in (*SHARES_OF_STEP2, "end")]
    headers = [*(f"after {share} %" for share in SHARES_OF_STEP2), "test cases, at the end"]
    for data in ("btcv", "brain"):
        runs, curves = (rows_of(f"{kind}_{data}.csv") for kind in ("confirmation", "curves"))
        random = {row["seed"]: row for row in runs if row["arm"] == "random"}
        for row in (row for row in runs if row["step1_iterations"] != "0"):
            start = random[row["seed"]]
            both = step2_curve(curves, row), step2_curve(curves, start)
            column = "test_plain_Dice_average"
            values = [*(lead(*both, share) for share in SHARES_OF_STEP2), 100 * (float(row[column]) - float(start[column]))]
            for header, value, found in zip(headers, values, columns, strict=True):
                found.append(value)
                cells[len(found), header] = f"{value:+.1f}"
    *early, end = columns
    for header, values in zip(headers, early, strict=False):
        cells[len(end) + 1, header] = f"{correlation(values, end):+.2f}"
    return cells


RECOMPUTED: dict[str, Callable[[], Cells]] = {
    "confirmation_btcv.csv#dice": lambda: confirmation(
        "confirmation_btcv.csv", "random", "random_longer", "mask_all", "lwi_all", "paper_all"
    ),
    "confirmation_btcv_10400.csv#dice": lambda: confirmation("confirmation_btcv_10400.csv", "random", "mask_all"),
    "cases_btcv_10400.csv#intervals": intervals_btcv_10400,
    "handover_hippocampus.csv#dice": handover,
    "probes_btcv.csv#auc": probes,
    "curves_btcv.csv#early_leads": early_leads,
}


def cells_from(source: str) -> Cells:
    if source in RECOMPUTED:
        return RECOMPUTED[source]()
    name, _, table = source.partition("#")
    cells = {(int(row["row"]), row["column"]): row["figure"] for row in rows_of(name) if row["table"] == table}
    assert cells, f"{source} holds nothing"
    return cells


def numbers_from(source: str) -> list[str]:
    name, _, table = source.partition("#")
    if source.startswith("="):
        return [source[1:]]
    if source in RECOMPUTED:
        texts = list(RECOMPUTED[source]().values())
    else:
        texts = [row["figure"] for row in rows_of(name) if row["table"] == table]
    assert texts, f"{source} holds nothing"
    return [number for text in texts for number in DECIMAL.findall(text)]


def is_rounded(number: str, exact: str) -> bool:
    """Whether a number is another one, or what is left of it with fewer decimals; a sign counts where both have one.

    Shares are written without a leading zero (.82) where points of Dice are not (0.82).
    """
    if number[0] in "-+" and exact[0] in "-+" and number[0] != exact[0]:
        return False
    if number.lstrip("-+").startswith(".") != exact.lstrip("-+").startswith("."):
        return False
    kept, had = (len(text.partition(".")[2]) for text in (number, exact))
    lost = 0.5001 * 10**-kept if kept < had else 1e-9
    return kept <= had and abs(abs(float(number)) - abs(float(exact))) <= lost


def wrong_in_table(block: Block) -> Iterator[str]:
    known = [cells_from(source) for source in block.sources]
    for key, cell in block.cells().items():
        texts = [cells[key] for cells in known if key in cells]
        if not texts and DECIMAL.search(NOT_WORDS.sub("", cell)):
            yield f"no source has row {key[0]}, {key[1]}: {cell}"
        for text in texts:
            if cell.strip("*") != text and not cell.startswith(f"{text} "):
                yield f"row {key[0]}, {key[1]} is {cell}, in the file {text}"


def wrong_in_words(block: Block) -> Iterator[str]:
    exact = [number for source in block.sources for number in numbers_from(source)]
    for number in DECIMAL.findall(NOT_WORDS.sub(" ", block.text)):
        if not any(is_rounded(number, other) for other in exact):
            yield f"{number} is not in {', '.join(block.sources)}"


def wrong_by_row(block: Block) -> Iterator[str]:
    rows = block.text.splitlines()[2:]
    if len(rows) != len(block.sources):
        yield f"{len(rows)} rows, and sources of {len(block.sources)}"
    for row, sources in zip(rows, block.sources, strict=False):
        yield from wrong_in_words(Block(block.line, row, block.kind, [] if sources == "none" else sources.split(", ")))


def problems(text: str) -> list[str]:
    """What is wrong with the figures of a page's text."""
    found = []
    for block in blocks_of(text):
        if block.kind is None and block.is_table and len(DECIMAL.findall(NOT_WORDS.sub(" ", block.text))) >= MEASUREMENTS:
            found.append(f"line {block.line}: a table of figures without a comment that names its file")
        elif block.kind == "figures":
            found += [f"line {block.line}: {problem}" for problem in wrong_in_table(block)]
        elif block.kind == "figures row by row":
            found += [f"line {block.line}: {problem}" for problem in wrong_by_row(block)]
        elif block.kind == "figures in words":
            found += [f"line {block.line}: {problem}" for problem in wrong_in_words(block)]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_figure_is_that_of_its_file(page):
    assert problems(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("row", rows_of("derived.csv"), ids=lambda row: f"{row['table']} {row['figure']}")
def test_single_figures_are_what_the_runs_give(row):
    """The mean of a column over some rows, less that over others if there are any; Dice in percent."""
    value = mean(selected(row["file"], row["of"]), row["column"])
    if row["minus"]:
        value -= mean(selected(row["file"], row["minus"]), row["column"])
    value *= 100 if "_Dice_" in row["column"] else 1
    decimals = len(row["figure"].partition(".")[2])
    assert abs(float(row["figure"]) - value) <= 0.5001 * 10**-decimals


def test_every_table_in_the_files_is_on_a_page():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for path in RESULTS.glob("*.csv"):
        if "table" in rows_of(path.name)[0]:
            for table in {row["table"] for row in rows_of(path.name)}:
                assert re.search(rf"<!-- figures[^>]*{re.escape(path.name)}#{table}\b", text), f"{path.name}#{table}"


def test_every_file_is_explained():
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    for path in RESULTS.glob("*.csv"):
        assert f"`{path.name}`" in text, path.name


FIRST_PAGES = (ROOT / "README.md", ROOT / "docs" / "start" / "should_i_use_it.md")


@pytest.mark.parametrize("page", FIRST_PAGES, ids=lambda page: page.name)
@pytest.mark.parametrize(
    ("true", "changed"), [("+0.4 (-0.4 to +1.2)", "+4.3 (+1.7 to +7.0)"), ("48.6 to 53.0", "41.8 to 53.0")]
)
def test_where_people_decide_a_figure_of_another_row_is_found(page, true, changed):
    text = page.read_text(encoding="utf-8")
    assert text.count(true) == 1
    assert problems(text.replace(true, changed))


RESULTS_PAGES = sorted((ROOT / "docs" / "explanation").glob("results*.md"))


@pytest.mark.parametrize(
    ("true", "changed"),
    [
        ("| recipe: masking alone | 50.5 |", "| recipe: masking alone | 50.6 |"),
        ("| 51.3 | +2.6 (+0.3 to +4.8) |", "| 51.3 | +2.7 (+0.3 to +4.8) |"),
        ("| 51.3 | +2.6 (+0.3 to +4.8) |", "| 51.3 | +2.6 (+0.4 to +4.8) |"),
        ("| the recipe | .812 |", "| the recipe | .813 |"),
        ("| 8 | lwi | 3 | 81.03 ± 1.36 |", "| 8 | lwi | 3 | 81.04 ± 1.36 |"),
        ("| 57.6 | +3.6 (+0.5 to +7.1) |", "| 57.6 | +3.6 (+0.6 to +7.1) |"),
        ("**+0.4 (-0.4 to +1.2)**", "**+0.4 (-0.4 to +1.3)**"),
        ("<!-- figures: confirmation_btcv.csv#dice", "<!-- no comment: confirmation_btcv.csv#dice"),
    ],
)
def test_a_figure_that_was_changed_is_found(true, changed):
    (page,) = (text for page in RESULTS_PAGES if true in (text := page.read_text(encoding="utf-8")))
    assert page.count(true) == 1
    assert problems(page.replace(true, changed))
