"""`harness report`: shows an earlier run again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from harness.cli.verbosity import show_results, verbosity_of, verbosity_options


@click.command("report")
@click.argument("run", type=click.Path())
@verbosity_options
@click.pass_obj
def command(disabled: Sequence[str], run: str, verbose: bool, quiet: bool) -> None:
    """Show the answer of an earlier run again, and write its report.html anew."""
    from pathlib import Path

    from harness.machine import machine_errors
    from harness.registry import discover
    from harness.report import write_report
    from harness.results import load_results

    verbosity = verbosity_of(verbose, quiet)
    folder = Path(run)
    results = load_results(folder)
    with machine_errors(folder):
        page = write_report(folder, discover(disabled), results)
    show_results(results, verbosity, [("Report", page)])
