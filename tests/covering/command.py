"""`python -m tests.covering`: counts what intervals cover, and goes on where it was."""

from __future__ import annotations

from pathlib import Path

import click

from covering.cells import Cell, counted
from covering.table import misses, replaced

RESULTS = Path(__file__).with_name("cells.jsonl")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "statistics.md"


@click.command()
@click.option("--sets", default=10_000, type=click.IntRange(100), show_default=True)
@click.option("--out", default=RESULTS, type=click.Path(path_type=Path), help="A line a cell.")
@click.option("--write", is_flag=True, help="Put the table into docs/statistics.md.")
def main(sets: int, out: Path, write: bool) -> None:
    """Draws documents whose truth is known, makes intervals as a run does, and counts."""
    found: list[Cell] = []
    for cell in counted(out, sets):
        found.append(cell)
        share = f"{cell.share:.3f}" if cell.sets else "-"
        said = f"{cell.family}; {cell.name}; {cell.documents} documents: {share}"
        click.echo(said + ("  MISSES" if misses(cell) else ""))
    if write:
        PAGE.write_text(replaced(PAGE.read_text("utf-8"), found), "utf-8")
