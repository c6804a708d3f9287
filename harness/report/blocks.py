"""Turns the blocks of a section into what the template writes: texts, cells and figures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from markupsafe import Markup

from harness.contract import JSON, Figure, Grid, Prose
from harness.drawing import undrawable
from harness.report.completions import Completions
from harness.report.embed import plotly_figure, script_json
from harness.report.pictures import Picture, picture
from harness.results.numbers import format_number
from harness.text import visible

CellKind = Literal["text", "long", "number", "yes", "no", "unknown"]
_LONG = 40
_LONGEST_ADDRESS = 300
_PART = r"/[A-Za-z0-9_][A-Za-z0-9_.-]*"
_ADDRESS = re.compile(
    rf"https://[a-z0-9]+(?:-+[a-z0-9]+)*(?:\.[a-z0-9]+(?:-+[a-z0-9]+)*)+(?:{_PART})+"
)


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and how it looks."""

    text: str
    kind: CellKind
    link: str = ""
    """Where it leads: a path beside the page, made by us and with nothing but harmless letters; or
    an address outside, see `safe_address`."""
    outside: bool = False
    """Whether it leads out of the folder."""


@dataclass(frozen=True)
class Table:
    """A table ready for the template."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    folded: bool = False
    opens: Mapping[int, Table] = field(default_factory=dict)
    """By row, counted from 1, the table that it opens."""
    block: str = "table"


@dataclass(frozen=True)
class Chart:
    """A figure ready for the template, with the same numbers as a table."""

    title: str
    description: str
    table: Table
    picture: Picture | None
    """As we draw it."""
    plotly: Markup | None
    """What plotly draws where we can't: a figure of a stranger."""
    block: str = "chart"


@dataclass(frozen=True)
class Text:
    """A paragraph ready for the template."""

    text: str
    tone: str
    block: str = "text"


@dataclass(frozen=True)
class Browser:
    """All that models wrote, ready for the template: to be looked through."""

    table: Table
    """The first of them, for readers without scripts."""
    completions: Completions
    block: str = "browser"


Block = Table | Chart | Text | Browser


def prepared(block: Figure | Grid | Prose, source: str = "") -> Block:
    """The block with every text made visible and every value written out.

    `source` is the run, for pictures that are saved as files.
    """
    match block:
        case Figure():
            return _chart(block, source)
        case Grid():
            return _table(block)
        case Prose():
            tone = block.tone if block.tone in ("warning", "invalid") else "plain"
            return Text(visible(block.text), tone)
    raise TypeError(f"a panel is made of Figure, Grid and Prose, not {type(block).__name__}")


def cell(value: JSON) -> Cell:
    """One value: a yes or no is a badge with its word, and a number lines up with others."""
    match value:
        case bool():
            return Cell("yes" if value else "no", "yes" if value else "no")
        case None:
            return Cell("–", "unknown")
        case int():
            return Cell(str(value), "number")
        case float():
            return Cell(format_number(value), "number")
    text = visible(value)
    if len(text) > _LONG or "\n" in text:
        return Cell(text, "long")
    # Numbers with their intervals, as `numbers.estimate` writes them.
    return Cell(text, "number" if text[:1].isdigit() or text[:2].strip("-").isdigit() else "text")


def safe_address(address: str) -> bool:
    """Whether a page may lead to an address: it is one of ids alone, such as
    `https://features.example.org/a-model/an-sae/650`.

    https, a plain host, and parts that are letters, digits, `_`, `.` and `-`, none of them
    beginning with a dot. No user, port, query, fragment or escape.
    """
    return len(address) <= _LONGEST_ADDRESS and _ADDRESS.fullmatch(address) is not None


def _chart(figure: Figure, source: str) -> Chart:
    title, description = visible(figure.title), visible(figure.description)
    table = _table(_numbers(figure))
    if (drawn := _picture(figure, source)) is not None:
        return Chart(title, description, table, drawn, None)
    data = script_json(plotly_figure(figure.data, figure.layout))
    return Chart(title, description, table, None, data)


def _picture(figure: Figure, source: str) -> Picture | None:
    """The figure as we draw it; None where plotly has to."""
    try:
        return None if undrawable(figure.data, figure.layout) else picture(figure, source)
    except Exception:
        # A stranger's figure may hold anything; plotly is more patient, and the table is there.
        return None


def _numbers(figure: Figure) -> Grid:
    columns = list(dict.fromkeys(str(key) for row in figure.rows for key in row))
    rows = [[row.get(column) for column in columns] for row in figure.rows]
    return Grid(figure.title, columns, rows, folded=True)


def _table(grid: Grid) -> Table:
    columns = tuple(map(visible, grid.columns))
    rows = tuple(
        tuple(_linked(value, grid.links.get((row, place))) for place, value in enumerate(values))
        for row, values in enumerate(grid.rows)
    )
    opens = {row + 1: _table(inner) for row, inner in grid.opens.items()}
    return Table(visible(grid.title), columns, rows, visible(grid.note), bool(grid.folded), opens)


def _linked(value: JSON, address: str | None) -> Cell:
    """A cell, and where it leads; nowhere where that is no safe address."""
    plain = cell(value)
    if address is None or not safe_address(address):
        return plain
    return replace(plain, link=address, outside=True)
