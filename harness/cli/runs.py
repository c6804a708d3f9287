"""`harness runs`: lists the runs under a folder."""

from __future__ import annotations

import click


@click.command("runs")
@click.argument("folder", type=click.Path(), default="runs", metavar="[DIR]")
@click.option("--html", type=click.Path(), help="Write the list as a page, too; rows open reports.")
def command(folder: str, html: str | None) -> None:
    """List the runs under a folder (runs/ without one): status, task, claims, headline, date."""
    from pathlib import Path

    from rich.console import Console

    from harness.cli.common import show_notes
    from harness.machine import machine_errors
    from harness.several.listing import list_runs
    from harness.several.page import without_report, write_listing
    from harness.several.terminal import show_listing
    from harness.text import shown_path

    found = list_runs(Path(folder))
    show_listing(found, Console())
    show_notes(found.notes)
    if html is not None:
        show_notes(without_report(found))
        file = Path(html)
        with machine_errors(file):
            page = write_listing(found, file)
        click.echo(f"Page: {shown_path(page)}")
