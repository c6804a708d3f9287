"""`harness schema`: prints the JSON Schema of task files."""

from __future__ import annotations

from collections.abc import Sequence

import click

from harness.cli.common import load_registry


@click.command("schema")
@click.pass_obj
def command(disabled: Sequence[str]) -> None:
    """Print the JSON Schema of task files, for editors."""
    import json

    from harness.task.schema import task_schema

    click.echo(json.dumps(task_schema(load_registry(disabled)), indent=2))
