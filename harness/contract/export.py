"""Exports: write what a run has found in the form of another tool.

`harness export RUN --to NAME` runs one. It reads a run that has ended and gives files; the command
writes them, whole or not at all, so an export itself changes nothing on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness.contract.options import Options

if TYPE_CHECKING:
    from harness.contract.results import Results
    from harness.contract.section import Panel


class ExportOptions(Options):
    """Base of an export's options. All have defaults; `--set name=value` gives others."""


@dataclass(frozen=True)
class ExportedRun:
    """A run that has ended, as an export reads it."""

    results: Results
    """Its records, claims, tables, task and provenance. All text in them is hostile."""
    folder: Path
    """Its folder, which is only read: `samples/`, `directions/` and `arrays/` lie in it."""
    panels: Sequence[Panel]
    """The panels of its report, in their order, with the figures and tables of all sections."""


@dataclass(frozen=True)
class ExportFile:
    """A file that an export makes."""

    path: str
    """Where it lies in the folder of the export, as in `data/scores.json`: parts that are safe
    names of files on every system, divided by `/`. `harness.store.names` makes such names of any
    text; `export.json` is the index of the folder, which the command writes."""
    content: str | bytes
    """The whole file; a text is written as UTF-8."""


@dataclass(frozen=True)
class LeftOut:
    """Something that an export could not put into this form."""

    what: str
    """What it is, in a few words."""
    why: str
    """Why it is not in the files, in one sentence without a full stop."""


@runtime_checkable
class Export(Protocol):
    """Puts a run into the form of another tool. Built as `Class(options)`.

    The same run and options give the same bytes. A score that an intervention has changed must not
    look like a score of the model: its name in the form says which intervention it is.
    """

    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        """The files, one after the other, and what is left out.

        Raises DataError where nothing of the run has this form, such as a run without completions:
        it says what is missing and what to do.
        """
