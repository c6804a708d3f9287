"""The options `-v` and `-q`: how much of a run's results a command prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from harness.cli.common import show_notes
from harness.errors import DataError, UsageError

if TYPE_CHECKING:
    from harness.contract import Results

Verbosity = Literal["answer", "all", "line"]
"""The answer on one screen, all tables, or one line."""


def verbosity_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `-v` and `-q` to a command, as `verbose` and `quiet`."""
    quiet = click.option("-q", "--quiet", is_flag=True, help="Print one line for each run.")
    verbose = click.option(
        "-v", "--verbose", is_flag=True, help="Print every sentence and every table."
    )
    return verbose(quiet(command))


def verbosity_of(verbose: bool, quiet: bool) -> Verbosity:
    """What is asked for; UsageError where both are."""
    if verbose and quiet:
        raise UsageError("-v and -q: one prints all, the other one line. Give one of them.")
    return "all" if verbose else "line" if quiet else "answer"


def show_results(results: Results, verbosity: Verbosity, files: Sequence[tuple[str, Path]]) -> int:
    """Prints the results, where their files are and how the gates came out.

    `files` are names such as `Report` with their paths, the page first. Returns how many gates
    failed.
    """
    from rich.console import Console

    from harness.gates import check_results
    from harness.gates.terminal import lines
    from harness.report.one_line import one_line
    from harness.report.screen import Footer, show_answer
    from harness.report.terminal import show
    from harness.text import for_terminal, shown_path

    console = Console()
    try:
        checked, broken = check_results(results), []
    except DataError as error:  # results that were edited by hand: the rest is shown all the same
        checked, broken = [], [f"Gates: {error}"]
    failed = sum(not one.passed for one in checked) + len(broken)
    named = [f"{name}: {shown_path(path)}" for name, path in files]
    if verbosity == "line":
        gates = f"{len(checked) - failed} of {len(checked)} gates passed" if checked else ""
        click.echo(one_line(results, console.width, gates, shown_path(files[0][1])))
        show_notes(results.warnings)  # on stderr: who asked for a tracker must hear that it is gone
    elif verbosity == "all":
        show(results, console)
        for line in named:
            click.echo(line)
        for line in lines(checked) if checked else broken:
            click.echo(for_terminal(line, 1000))
    else:
        told = lines([one for one in checked if not one.passed])[:-1]
        told += lines(checked)[-1:] if checked else broken
        show_answer(results, console, Footer(told, named))
    return failed
