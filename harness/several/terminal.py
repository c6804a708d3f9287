"""Several runs on the terminal: a line for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.several.gather import Gathered
from harness.several.listing import Listing
from harness.several.page import rows
from harness.text import for_terminal

_CLAIMS = "claims: supported/contradicted/undecided"
_MOST = 200
"""Runs of a list that are shown here; the page has all of them."""


def show_several(found: Gathered, console: Console) -> None:
    """Prints the runs by what tells them apart."""
    by = ", ".join(found.runs.by) or "task"
    table = _table((by, "seed", "claims", "headline", "run"))
    every = rows(found)
    for label, seed, run in every[:_MOST]:
        table.add_row(*map(_safe, (label, seed, run.claims, run.headline, str(run.folder))))
    console.print(table)
    _after(console, len(every), [run.claims for _, _, run in every])


def show_listing(found: Listing, console: Console) -> None:
    """Prints the runs under a folder by path; of a run below it, the path from there."""
    if not found.runs:
        console.print(Text(f"No runs in {for_terminal(str(found.folder))}."))
        return
    table = _table(("run", "status", "task", "claims", "headline", "written (UTC)"))
    for run in found.runs[:_MOST]:
        inside = run.folder.relative_to(found.folder)
        name = str(inside if inside != Path() else run.folder)
        cells = (name, run.state, run.task, run.claims, run.headline, run.date)
        table.add_row(*map(_safe, cells))
    console.print(table)
    _after(console, len(found.runs), [run.claims for run in found.runs])


def _table(columns: Sequence[str]) -> Table:
    table = Table(pad_edge=False, box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(_cut(column)), overflow="fold")
    return table


def _after(console: Console, count: int, claims: Sequence[str]) -> None:
    if count > _MOST:
        console.print(Text(f"… and {count - _MOST} more: a page has all of them", "dim"))
    if any(claims):
        console.print(Text(_CLAIMS, "dim"))


def _safe(text: str) -> Text:
    return Text(_cut(text))


def _cut(text: str) -> str:
    return for_terminal(text, 200)
