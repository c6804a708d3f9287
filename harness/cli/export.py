"""`harness export`: writes what a run has found in another form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli import completion
from harness.cli.common import show_notes, trust_option

if TYPE_CHECKING:
    from harness.contract import Results
    from harness.export.folder import Exported


@click.command("export")
@click.argument("run", type=click.Path(), shell_complete=completion.runs)
@click.option(
    "--to",
    "form",
    required=True,
    metavar="NAME",
    shell_complete=completion.components("export"),
    help="The form, such as figures or csv; `harness plugins export` lists all.",
)
@click.option("--out", type=click.Path(), help="The folder to write into; without it, RUN/NAME.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the form, such as format=png; `harness plugins NAME` lists them.",
)
@trust_option
@click.pass_obj
def command(
    disabled: Sequence[str],
    run: str,
    form: str,
    out: str | None,
    settings: tuple[str, ...],
    trust_local_code: bool,
) -> None:
    """Write what a run has found in the form of another tool.

    Needs no network, no GPU and no model; the same run gives the same files. `export.json` beside
    them says what was written. Exported again, files that are no longer made are removed; all
    others in the folder stay as they are.
    """
    from pathlib import Path

    from harness.export.export import as_exported, export_run
    from harness.machine import machine_errors
    from harness.registry import discover
    from harness.results.read import load_results
    from harness.task.local import of_a_run
    from harness.task.trust import Trust

    folder, registry = Path(run), discover(disabled)
    results = load_results(folder)
    trust = Trust(trust_local_code)
    registry, notes = of_a_run(results.provenance, registry, trust, ("section", "export"))
    show_notes(notes)
    owned = registry.find("export", form)
    place = Path(out) if out else None
    with machine_errors(place or folder):
        found = export_run(as_exported(results, folder, registry), owned, place, settings)
    _tell(owned.component.name, found, results)


def _tell(name: str, found: Exported, results: Results) -> None:
    """What is missing or doubtful on stderr, and one line on stdout."""
    from harness.text import for_terminal, shown_path

    if results.status == "invalid":
        why = "; ".join(results.problems[:2]) or "it does not say why."
        show_notes([f"this run is invalid, and its numbers must not be used: {why}"])
    show_notes([f"left out: {one.what}: {one.why}." for one in found.left_out])
    show_notes([f"{found.folder / path}: was changed since it was exported, and stays."
                for path in found.kept])  # fmt: skip
    files = "1 file" if len(found.files) == 1 else f"{len(found.files)} files"
    less = f", {len(found.left_out)} left out" if found.left_out else ""
    click.echo(f"{for_terminal(name)}: {files} in {shown_path(found.folder)}{less}")
