"""`harness report`: shows an earlier run again, or several runs on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli import completion
from harness.cli.common import trust_option
from harness.cli.verbosity import show_results, verbosity_of, verbosity_options

if TYPE_CHECKING:
    from pathlib import Path

    from harness.cli.verbosity import Verbosity


@click.command("report")
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    type=click.Path(),
    metavar="RUN [RUN...]",
    shell_complete=completion.runs,
)
@click.option("--out", type=click.Path(), help="The page of several runs [several.html].")
@trust_option
@verbosity_options
@click.pass_obj
def command(
    disabled: Sequence[str],
    runs: tuple[str, ...],
    out: str | None,
    trust_local_code: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Show the answer of an earlier run again, and write its report.html anew.

    Of several runs: write one page with what tells them apart (a model, a checkpoint, a seed),
    medians over models, and mean and standard deviation over seeds.
    """
    from pathlib import Path

    verbosity = verbosity_of(verbose, quiet)
    folders = [Path(run) for run in runs]
    if len(folders) == 1 and out is None:
        _one(folders[0], disabled, verbosity, trust_local_code)
    elif verbose or quiet:
        raise click.UsageError(
            "-v and -q are for the report of one run. Leave them out, or name one run."
        )
    else:
        _several(folders, disabled, out)


def _one(folder: Path, disabled: Sequence[str], verbosity: Verbosity, trusted: bool) -> None:
    from harness.cli.common import show_notes
    from harness.errors import DataError
    from harness.machine import machine_errors
    from harness.registry import discover
    from harness.report import write_report
    from harness.results import load_results
    from harness.results.tables import without_damaged
    from harness.task.local import of_a_run
    from harness.task.trust import Trust

    results = load_results(folder)
    registry, notes = of_a_run(results.provenance, discover(disabled), Trust(trusted))
    show_notes(notes)
    with machine_errors(folder):
        page = write_report(folder, registry, results)
    results, lost = without_damaged(results)
    show_results(results, verbosity, [("Report", page)])
    if lost:
        raise DataError("\n".join(f"{why} The report is without it." for why in lost))


def _several(folders: Sequence[Path], disabled: Sequence[str], out: str | None) -> None:
    from pathlib import Path

    from rich.console import Console

    from harness.cli.common import show_notes
    from harness.errors import UsageError
    from harness.machine import machine_errors
    from harness.registry import discover
    from harness.several import gather
    from harness.several.page import FILE, write_several
    from harness.several.terminal import show_several
    from harness.text import shown_path

    file = Path(out or FILE)
    if file.suffix.lower() not in (".html", ".htm") and not file.is_dir():
        # A browser would show the source of a page that is called otherwise.
        raise UsageError(
            f"--out {shown_path(file)}: is the page of several runs, a file. Allowed: a name that "
            f"ends in .html. Write {shown_path(file.with_name(file.name + '.html'))}."
        )
    found = gather(folders)
    show_several(found, Console())
    show_notes(found.notes)
    with machine_errors(file):
        page = write_several(found, discover(disabled), file)
    click.echo(f"Report: {shown_path(page)}")
