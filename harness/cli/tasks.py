"""`harness tasks`: lists the built-in tasks."""

from __future__ import annotations

import click


@click.command("tasks")
def command() -> None:
    """List the built-in tasks, and say where their files are.

    Run one by its name (harness eval refusal), or build on it: extends = "refusal".
    """
    import tomllib

    from harness.task.file import builtin_tasks, task_folders

    for name, file in builtin_tasks().items():
        title = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("title", "")
        click.echo(f"{name:<50} {title}")
    for folder in task_folders():
        click.echo(f"\nTheir files are in {folder}. Run one by its name, or extend it.")
