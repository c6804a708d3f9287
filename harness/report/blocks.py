"""Turns the blocks of a section into what the template writes: texts, cells and figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from harness.contract import JSON, Figure, Grid, Prose
from harness.report.embed import plotly_figure, script_json
from harness.results.numbers import format_number
from harness.text import visible

CellKind = Literal["text", "long", "number", "yes", "no", "unknown"]
_LONG = 40


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and how it looks."""

    text: str
    kind: CellKind
    link: str = ""
    """Where it leads: a path beside the page, made by us and with nothing but harmless letters."""


@dataclass(frozen=True)
class Table:
    """A table ready for the template."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    folded: bool = False
    block: str = "table"


@dataclass(frozen=True)
class Chart:
    """A figure ready for the template, with the same numbers as a table."""

    title: str
    description: str
    json: Markup
    table: Table
    block: str = "chart"


@dataclass(frozen=True)
class Text:
    """A paragraph ready for the template."""

    text: str
    tone: str
    block: str = "text"


Block = Table | Chart | Text


def prepared(block: Figure | Grid | Prose) -> Block:
    """The block with every text made visible and every value written out."""
    match block:
        case Figure():
            figure = plotly_figure(block.data, block.layout)
            title, description = visible(block.title), visible(block.description)
            return Chart(title, description, script_json(figure), _table(_numbers(block)))
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


def _numbers(figure: Figure) -> Grid:
    columns = list(dict.fromkeys(str(key) for row in figure.rows for key in row))
    rows = [[row.get(column) for column in columns] for row in figure.rows]
    return Grid(figure.title, columns, rows, folded=True)


def _table(grid: Grid) -> Table:
    columns = tuple(map(visible, grid.columns))
    rows = tuple(tuple(map(cell, row)) for row in grid.rows)
    return Table(visible(grid.title), columns, rows, visible(grid.note), bool(grid.folded))
