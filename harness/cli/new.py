"""`harness new`: writes a package with a plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import click

from harness.cli import completion


@click.command("new")
@click.argument("kind", shell_complete=completion.kinds)
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default=".",
    show_default=True,
    help="The folder that gets the new one.",
)
@click.option(
    "--license",
    "license_",
    type=click.Choice(["MIT", "BSD-3-Clause", "Apache-2.0"]),
    default="MIT",
    show_default=True,
    help="Under which others may use it.",
)
@click.pass_obj
def command(
    disabled: Sequence[str],
    kind: str,
    name: str,
    out: str,
    license_: Literal["MIT", "BSD-3-Clause", "Apache-2.0"],
) -> None:
    """Write a package with a plugin that works: `harness new metric surprise`.

    KIND is backend, sae-format, metric, statistic, direction, intervention, evaluator, labels,
    analysis or section. The folder harness-NAME is a whole repository: installable, with tests, an
    example, and CI for GitHub that checks it at every push and publishes it at every release.
    """
    from pathlib import Path

    from harness.authoring.new.create import create
    from harness.machine import machine_errors
    from harness.registry import discover

    folder = Path(out)
    with machine_errors(folder):
        click.echo(create(kind, name, folder, discover(disabled), license_))
