"""`harness report`: shows an earlier run again, or several runs on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN [RUN...]")
@click.option("--out", type=click.Path(), help="The page of several runs [several.html].")
@click.pass_obj
def command(disabled: Sequence[str], runs: tuple[str, ...], out: str | None) -> None:
    """Show the tables of an earlier run again, and write its report.html anew.

    Of several runs: write one page with what tells them apart (a model, a checkpoint, a seed),
    medians over models, and mean and standard deviation over seeds.
    """
    from pathlib import Path

    folders = [Path(run) for run in runs]
    if len(folders) == 1 and out is None:
        _one(folders[0], disabled)
    else:
        _several(folders, disabled, out)


def _one(folder: Path, disabled: Sequence[str]) -> None:
    from rich.console import Console

    from harness.machine import machine_errors
    from harness.registry import discover
    from harness.report import write_report
    from harness.report.terminal import show
    from harness.results import load_results

    show(load_results(folder), Console())
    with machine_errors(folder):
        click.echo(f"Report: {write_report(folder, discover(disabled))}")


def _several(folders: Sequence[Path], disabled: Sequence[str], out: str | None) -> None:
    from pathlib import Path

    from rich.console import Console

    from harness.cli.common import show_notes
    from harness.machine import machine_errors
    from harness.registry import discover
    from harness.several import gather
    from harness.several.page import FILE, write_several
    from harness.several.terminal import show_several

    found = gather(folders)
    show_several(found, Console())
    show_notes(found.notes)
    file = Path(out or FILE)
    with machine_errors(file):
        click.echo(f"Report: {write_several(found, discover(disabled), file)}")
