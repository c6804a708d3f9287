"""Sections of the report, and the blocks that their panels are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from harness.contract.options import Options
from harness.contract.values import JSON

if TYPE_CHECKING:
    from harness.results.read import Results


@dataclass(frozen=True)
class Figure:
    """A chart of the report, as plotly takes it: `data` and `layout`, plain JSON."""

    title: str
    description: str
    """What it shows, for those who do not see it."""
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    """The same numbers as a table, shown below it."""


@dataclass(frozen=True)
class Grid:
    """A table of the report; cells are plain values, and hostile text until they are escaped."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[JSON]]
    note: str = ""
    folded: bool = False
    """Whether it stays closed until the reader opens it."""


@dataclass(frozen=True)
class Prose:
    """A paragraph of the report, plain text."""

    text: str
    tone: Literal["plain", "warning", "invalid"] = "plain"


@dataclass(frozen=True)
class Panel:
    """A section of the report. Panels are sorted by `order`: 0 is the top, 100 the end."""

    title: str
    blocks: Sequence[Figure | Grid | Prose]
    order: int = 50


class SectionOptions(Options):
    """Options of a section of the report; all of them have defaults."""


@runtime_checkable
class Section(Protocol):
    """A part of the report; built as `Class(options)`. Every installed one is asked."""

    def panel(self, results: Results) -> Panel | None:
        """What it has to show of these results, or None."""
