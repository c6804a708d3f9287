"""`harness gate`: holds the numbers of a run against the gates of its task."""

from __future__ import annotations

import click

from harness.cli import completion
from harness.cli.common import show_gates
from harness.errors import GateFailed, InvalidRun, UsageError


@click.command("gate")
@click.argument("run", type=click.Path(), shell_complete=completion.runs)
@click.option(
    "--junit",
    type=click.Path(dir_okay=False),
    help="Write the outcome as JUnit XML, too.",
)
def command(run: str, junit: str | None) -> None:
    """Hold the numbers of a run against the gates of its task; ends with 1 where one fails."""
    from pathlib import Path

    from harness.gates import check_results
    from harness.gates.junit import junit as as_xml
    from harness.machine import machine_errors
    from harness.results import load_results
    from harness.store.files import write_text

    folder = Path(run)
    results = load_results(folder)
    if results.problems:
        raise InvalidRun(f"{folder}: the run is invalid, its numbers prove nothing.")
    found = check_results(results)
    if not found:
        raise UsageError(f'{folder}: its task has no gates. Write [gates.NAME] assert = "…".')
    if junit is not None:
        file = Path(junit)
        with machine_errors(file.parent):
            write_text(file, as_xml(str(results.task.get("name", "")), found))
    if failed := show_gates(results):
        raise GateFailed(f"gates: {failed} failed.")
