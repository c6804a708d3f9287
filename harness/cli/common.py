"""What several commands share: the option `--set`, finding plugins, loading tasks, gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.contract import Results
    from harness.registry import Registry
    from harness.task.task import Task

set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the task, such as models.base.path=gpt2.",
)
limit_option = click.option(
    "--limit", type=click.IntRange(1), help="At most so many rows of every data set."
)


def load_registry(disabled: Sequence[str]) -> Registry:
    """The installed plugins, without those that `-p no:NAME` turns off."""
    from harness.registry import discover

    return discover(disabled)


def load_task(
    registry: Registry,
    name: str,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    models: dict[str, Any] | None = None,
) -> Task:
    """The task in a file, or the built-in task of that name, changed as the options say.

    `limit` holds for every data set, `models` (keys and values, None left out) for every model.
    Raises TaskError with everything that is wrong with it.
    """
    from harness.task.load import load_for_command

    return load_for_command(registry, name, overrides, limit, models)


def show_gates(results: Results) -> int:
    """Prints how each gate of the run came out; returns how many failed."""
    from harness.gates import check_results
    from harness.gates.terminal import lines

    found = check_results(results)
    for line in lines(found) if found else ():
        click.echo(line)
    return sum(not one.passed for one in found)
