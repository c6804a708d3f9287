"""The tables of a run's report for a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.contract import JSON, ExportedRun, ExportFile, Grid, LeftOut, Results
from harness.errors import DataError
from harness.results import format_number, headline_tables, headline_units, record_name
from harness.store.names import safe_names
from harness.text import visible
from harness_exports.latex.options import LatexOptions
from harness_exports.latex.write import Table, document, table
from harness_exports.unshown import unshown

_LONGEST = 60
"""Characters of the name of a file."""


class Latex:
    r"""Writes a file of LaTeX for each table of the report, and `all.tex`, which has all of them.

    The rules are those of booktabs. `\input{NAME}` takes a table into a paper that loads the
    packages booktabs, array and longtable; its label is `tab:NAME`. Intervals are as in the report,
    in brackets behind a number. The caption says what is in the table, of which run and version,
    and whether that run is invalid; units stand below it. All text is escaped, and ASCII.

    A column of long texts wraps; a table that is wider than a page is in parts below each other,
    each with the first column; one that is longer runs over several pages. Left out: tables that
    the page keeps closed, unless `folded` is set. Source: the report; booktabs.
    """

    def __init__(self, options: LatexOptions) -> None:
        self.options = options

    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        """A file for each table, then the document. DataError where the run has no table."""
        every = [(title, grid) for title, grid in _grids(run) if grid.rows and grid.columns]
        closed = sum(grid.folded for _, grid in every)
        chosen = [(title, grid) for title, grid in every if self.options.folded or not grid.folded]
        if not chosen:
            raise DataError(
                f"{run.folder}: its report has no table"
                + (" that is open: set folded=true." if closed else ".")
                + " Export a run that has numbers."
            )
        names = safe_names([_plain(title) for title, _ in chosen], _LONGEST)
        for name, (title, grid) in zip(names, chosen, strict=True):
            cells = [[_cell(value) for value in row] for row in grid.rows]
            heads = [str(head) for head in grid.columns]
            caption, notes = list(_caption(title, run.results)), list(_notes(grid, run.results))
            made = table(Table(name, caption, notes, heads, cells), self.options.page)
            yield ExportFile(f"{name}.tex", made)
        yield ExportFile("all.tex", document(_title(run.results), names))
        yield from unshown(run)
        if closed and not self.options.folded:
            what = "1 table" if closed == 1 else f"{closed} tables"
            yield LeftOut(what, "closed on the page too; --set folded=true writes it all")


def _plain(title: str) -> str:
    """A title for the name of a file: no dots, behind which TeX would see a suffix, no underscores,
    which a label in a text could not have."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower())


def _grids(run: ExportedRun) -> Iterator[tuple[str, Grid]]:
    """The tables at the top of the report, then those of its panels, each with a title."""
    for grid in headline_tables(run.results):
        yield grid.title, grid
    for panel in run.panels:
        for block in panel.blocks:
            if isinstance(block, Grid):
                yield ": ".join(filter(None, (panel.title, block.title))), block


def _cell(value: JSON) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_number(value) if isinstance(value, float) else visible(value)


def _caption(title: str, results: Results) -> Iterator[str]:
    yield _sentence(title)
    if results.status == "invalid":
        yield "This run is invalid: its numbers must not be used."
    version = results.provenance.get("harness")
    made = f", sae-harness {version}" if version else ""
    yield f"Run {results.task.get('name', '?')}{made}."


def _notes(grid: Grid, results: Results) -> Iterator[str]:
    if grid.note:
        yield _sentence(grid.note)
    if units := _units(grid, results):
        said = (f"{unit} ({', '.join(names)})" for unit, names in units.items())
        yield f"Units: {'; '.join(said)}."


def _units(grid: Grid, results: Results) -> dict[str, list[str]]:
    """By unit, the numbers that a head or the first cell of a row names, where each has one."""
    of = {name: {unit} for name, unit in headline_units(results).items()}
    for record in results.records:
        for name in (record_name(record), record.id):
            of.setdefault(name, set()).add(record.unit)
    units: dict[str, list[str]] = {}
    for name in dict.fromkeys([*map(str, grid.columns), *(str(row[0]) for row in grid.rows)]):
        found = of.get(name, set())
        if len(found) == 1 and (unit := next(iter(found))):
            units.setdefault(unit, []).append(name)
    return units


def _sentence(text: str) -> str:
    return text if text.rstrip()[-1:] in [*".?!"] else f"{text.rstrip()}."


def _title(results: Results) -> str:
    said = results.task.get("title") or results.task.get("name") or "Tables"
    return f"{said} (invalid run)" if results.status == "invalid" else str(said)
