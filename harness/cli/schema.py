"""`harness schema`: prints the JSON Schema of task files."""

from __future__ import annotations

from collections.abc import Sequence

import click


@click.command("schema")
@click.pass_obj
def command(disabled: Sequence[str]) -> None:
    """Print the JSON Schema of task files, for editors."""
    import json

    from harness.registry import discover
    from harness.task.schema import task_schema

    click.echo(json.dumps(task_schema(discover(disabled)), indent=2))
