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
    from harness.text import for_terminal, shown_path

    for name, file in builtin_tasks().items():
        title = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("title", "")
        click.echo(f"{for_terminal(name):<50} {for_terminal(str(title), 500)}")
    for folder in task_folders():
        click.echo(f"\nTheir files are in {shown_path(folder)}. Run one by its name, or extend it.")
