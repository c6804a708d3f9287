"""Sections of the report: what makes a panel of a run's results, and the blocks of a panel.

A task names no section: whenever a report is written, every installed one is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from harness.contract.options import Options

if TYPE_CHECKING:
    from harness.contract.results import Results
    from harness.contract.values import JSON, Record


@dataclass(frozen=True)
class Figure:
    """A chart, as plotly takes it."""

    title: str
    """Stands above it."""
    description: str
    """What it shows, in words, for those who cannot see it."""
    data: Sequence[Mapping[str, Any]]
    """Plotly's traces, as plain JSON."""
    layout: Mapping[str, Any] = field(default_factory=dict)
    """Plotly's layout, as plain JSON."""
    rows: Sequence[Mapping[str, Any]] = ()
    """The numbers of the chart as rows of a table, which is shown below it."""
    records: Sequence[Record] = ()
    """The records whose numbers it draws: an exported figure names them, with units and counts."""


@dataclass(frozen=True)
class Grid:
    """A table. The report escapes its cells."""

    title: str
    """Stands above it."""
    columns: Sequence[str]
    """The heads of the columns."""
    rows: Sequence[Sequence[JSON]]
    """The cells, as many in each row as there are columns."""
    note: str = ""
    """A remark below it."""
    folded: bool = False
    """Whether the table is closed until the reader opens it."""
    spare: int = 0
    """How many of its last columns a narrow terminal leaves out before it shortens others."""
    links: Mapping[tuple[int, int], str] = field(default_factory=dict, kw_only=True)
    """By row and column, counted from 0, the address that a cell leads to. The report makes links
    of https addresses that consist of plain ids, and leaves the others as text."""
    opens: Mapping[int, Grid] = field(default_factory=dict, kw_only=True)
    """By row, counted from 0, a table that the row opens, such as the contexts of a feature."""


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: str
    """Plain text; the report escapes it."""
    tone: Literal["plain", "warning", "invalid"] = "plain"
    """How it is set off: not at all, as a warning, or as a reason not to trust the run."""


@dataclass(frozen=True)
class Panel:
    """One part of the report, with a heading of its own."""

    title: str
    """The heading."""
    blocks: Sequence[Figure | Grid | Prose]
    """What it shows, from top to bottom."""
    order: int = 50
    """Where in the report it stands: from 0, the top, to 100, the end."""


class SectionOptions(Options):
    """Base of a section's options. All have defaults, because no task gives any."""


@runtime_checkable
class Section(Protocol):
    """Makes one part of the report. Built as `Class(options)` from the defaults."""

    def panel(self, results: Results) -> Panel | None:
        """The panel about these results; None where they hold nothing that it is about.

        Called whenever the report of a run is written, also for runs of earlier versions. All
        text of the results is hostile: leave it as it is, the report escapes it.
        """
