"""`harness new`: writes a package with a plugin."""

from __future__ import annotations

from collections.abc import Sequence

import click


@click.command("new")
@click.argument("kind")
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default=".",
    show_default=True,
    help="The folder that gets the new one.",
)
@click.pass_obj
def command(disabled: Sequence[str], kind: str, name: str, out: str) -> None:
    """Write a package with a plugin that works: `harness new metric surprise`.

    KIND is backend, sae-format, metric, statistic, direction, intervention, evaluator, labels,
    analysis or section. The folder harness-NAME is installable, and has tests and an example.
    """
    from pathlib import Path

    from harness.authoring.new.create import create
    from harness.machine import machine_errors
    from harness.registry import discover

    folder = Path(out)
    with machine_errors(folder):
        click.echo(create(kind, name, folder, discover(disabled)))
