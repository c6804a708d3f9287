"""`harness tasks`: lists the built-in tasks."""

from __future__ import annotations

import click


@click.command("tasks")
def command() -> None:
    """List the built-in tasks; run one by its name: harness eval refusal."""
    import tomllib

    from harness.task.file import builtin_tasks

    for name, file in builtin_tasks().items():
        title = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("title", "")
        click.echo(f"{name:<50} {title}")
