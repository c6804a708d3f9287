"""`harness check`: says everything that is wrong with tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli import completion
from harness.cli.common import set_option, trust_option
from harness.errors import Problem, TaskError
from harness.text import for_terminal, shown_path

if TYPE_CHECKING:
    from harness.task.task import Task


@click.command("check")
@click.argument("tasks", nargs=-1, required=True, shell_complete=completion.tasks)
@set_option
@trust_option
@click.pass_obj
def command(
    disabled: Sequence[str],
    tasks: tuple[str, ...],
    overrides: tuple[str, ...],
    trust_local_code: bool,
) -> None:
    """Say everything that is wrong with tasks, without reading a weight."""
    from harness.registry import discover
    from harness.settings.apply import personal
    from harness.task.executor import Wanted
    from harness.task.trust import Trust

    person = personal()
    _, also = person.cache()
    registry, trust = discover(disabled), Trust(trust_local_code)
    problems: list[Problem] = []
    for name in tasks:
        try:
            task = person.load(registry, name, Wanted(), overrides, trust=trust, also=also)
            summary = _summary(task)
        except TaskError as error:
            problems += error.problems
        else:
            click.echo(f"{shown_path(name)}: {summary}")
            for note in _notes(task):
                click.echo(f"  note: {for_terminal(note, 600)}")
    if problems:
        raise TaskError(problems)


def _notes(task: Task) -> list[str]:
    """What `eval` will ask for, what comes out undefined or of another model, which tokens SAEs
    were not trained on, and odd prompts."""
    from harness.planning.foresight import foreseen, remote_code, too_few_documents, too_few_tokens
    from harness.task.literals import lone_blanks
    from harness.task.untrained import untrained

    return [
        *remote_code(task),
        *task.other_origins(),
        *untrained(task, task.facts_of_saes),
        *lone_blanks(task.spec),
        *too_few_tokens(task),
        *too_few_documents(task),
        *(plugin.reason for plugin in task.local if plugin.reason),
        *foreseen(task),
        *([f"{task.settings}."] if task.settings else []),
    ]


def _summary(task: Task) -> str:
    """What a task does; TaskError where its prompts cannot be written."""
    from harness.planning.planner import plan
    from harness.planning.rehearsal import unwritable

    planned = plan(task)
    if unwritten := list(unwritable(planned)):
        raise TaskError(unwritten)
    arms = sum(len(work.arms) for work in planned.generations)
    passes = f"{len(planned.passes)} pass{'es' * (len(planned.passes) != 1)} over activations"
    return f"is fine: {passes}, {arms} arms of completions."
