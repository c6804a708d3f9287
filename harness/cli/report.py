"""`harness report`: shows an earlier run again."""

from __future__ import annotations

from collections.abc import Sequence

import click


@click.command("report")
@click.argument("run", type=click.Path())
@click.pass_obj
def command(disabled: Sequence[str], run: str) -> None:
    """Show the tables of an earlier run again, and write its report.html anew."""
    from pathlib import Path

    from rich.console import Console

    from harness.machine import machine_errors
    from harness.registry import discover
    from harness.report import write_report
    from harness.report.terminal import show
    from harness.results import load_results

    folder = Path(run)
    show(load_results(folder), Console())
    with machine_errors(folder):
        click.echo(f"Report: {write_report(folder, discover(disabled))}")
