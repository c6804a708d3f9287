"""`harness compare`: runs against the first of them."""

from __future__ import annotations

import click

from harness.cli import completion


@click.command("compare")
@click.argument(
    "runs", nargs=-1, required=True, metavar="RUN RUN...", shell_complete=completion.runs
)
@click.option("--only", default="", metavar="PREFIX", help="Compare ids that begin with PREFIX.")
@click.option("--allow-invalid", is_flag=True, help="Compare also runs that are invalid.")
@click.option("--json", is_flag=True, help="Print everything as JSON.")
def command(runs: tuple[str, ...], only: str, allow_invalid: bool, json: bool) -> None:
    """Compare runs, each with the first: paired where they share prompts.

    Numbers under one name that were computed with other versions or options are refused.
    """
    from rich.console import Console

    from harness.comparison.comparison import compare_folders
    from harness.comparison.terminal import as_json, show_comparison

    found = compare_folders(runs, only=only, allow_invalid=allow_invalid)
    if json:
        click.echo(as_json(found))
    else:
        show_comparison(found, Console(), every=bool(only))
