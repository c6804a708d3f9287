"""`harness check`: says everything that is wrong with tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli.common import set_option
from harness.errors import Problem, TaskError
from harness.text import for_terminal

if TYPE_CHECKING:
    from harness.task.task import Task


@click.command("check")
@click.argument("tasks", nargs=-1, required=True)
@set_option
@click.pass_obj
def command(disabled: Sequence[str], tasks: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Say everything that is wrong with tasks, without reading a weight."""
    from harness.registry import discover
    from harness.task.load import load_for_command

    registry = discover(disabled)
    problems: list[Problem] = []
    for name in tasks:
        try:
            task = load_for_command(registry, name, overrides)
        except TaskError as error:
            problems += error.problems
        else:
            click.echo(f"{name}: {_summary(task)}")
            for note in _notes(task):
                click.echo(f"  note: {for_terminal(note, 600)}")
    if problems:
        raise TaskError(problems)


def _notes(task: Task) -> list[str]:
    """What `eval` will ask for, and what will come out undefined, as far as it can be known."""
    from harness.planning.foresight import remote_code, too_few_tokens

    return [*remote_code(task), *too_few_tokens(task)]


def _summary(task: Task) -> str:
    from harness.planning.planner import plan

    planned = plan(task)
    arms = sum(len(work.arms) for work in planned.generations)
    passes = f"{len(planned.passes)} pass{'es' * (len(planned.passes) != 1)} over activations"
    return f"is fine: {passes}, {arms} arms of completions."
