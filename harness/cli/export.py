"""`harness export`: writes what a run has found in another form."""

from __future__ import annotations

from collections.abc import Sequence

import click

from harness.cli.common import show_notes, trust_option


@click.command("export")
@click.argument("run", type=click.Path())
@click.option(
    "--to",
    "form",
    required=True,
    type=click.Choice(["figures"]),
    help="What to write: `figures`, those of the report as SVG files.",
)
@click.option("--out", type=click.Path(), help="The folder to write into; without it, RUN/figures.")
@trust_option
@click.pass_obj
def command(
    disabled: Sequence[str], run: str, form: str, out: str | None, trust_local_code: bool
) -> None:
    """Write the figures of a run's report as SVG files, with figures.json, which says what each
    shows. Needs no network and no browser; the same run gives the same files."""
    from pathlib import Path

    from harness.export.figures import export_figures
    from harness.machine import machine_errors
    from harness.registry import discover
    from harness.results import load_results
    from harness.task.local import of_a_run
    from harness.task.trust import Trust
    from harness.text import for_terminal, shown_path

    trust = Trust(trust_local_code)
    folder = Path(out) if out else Path(run) / form
    with machine_errors(folder):
        local = of_a_run(load_results(Path(run)).provenance, discover(disabled), trust)
        show_notes(local[1])
        found = export_figures(Path(run), local[0], folder)
    for one in found:
        if one.file is None:
            said = f"{for_terminal(one.figure.title)}: {for_terminal(str(one.why_not))}"
            click.echo(f"Not drawn: {said}.", err=True)
    drawn = sum(one.file is not None for one in found)
    click.echo(f"Figures: {drawn} in {shown_path(folder)}")
