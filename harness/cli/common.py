"""What several commands share: the options `--set` and `--limit`, and the outcome of gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli import completion

if TYPE_CHECKING:
    from harness.contract import Results
    from harness.registry import Registry
    from harness.task.executor import Wanted

set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the task, such as models.base.path=gpt2.",
)
trust_option = click.option(
    "--trust-local-code",
    is_flag=True,
    help="Allow plugins in files of Python that the task names to run; remembered until they "
    "change.",
)
observe_option = click.option(
    "--observe",
    "observers",
    multiple=True,
    envvar="HARNESS_OBSERVE",
    metavar="OBSERVER",
    shell_complete=completion.components("observer"),
    help="Tell an observer what happens, such as jsonl or wandb. May be repeated.",
)
limit_option = click.option(
    "--limit", type=click.IntRange(1), help="At most so many rows of every data set."
)

no_cache_option = click.option(
    "--no-cache",
    is_flag=True,
    help="Use nothing that other runs have made, and keep nothing for them.",
)
executor_option = click.option(
    "--executor",
    metavar="NAME",
    shell_complete=completion.components("executor"),
    help="Who computes the parts of the run, such as local, ray or slurm.",
)
workers_option = click.option(
    "--workers", type=int, help="How many workers the executor has; without --executor, local ones."
)


def asked_executor(executor: str | None, workers: int | None) -> Wanted:
    """The executor that a command asks for."""
    from harness.task.executor import wanted

    return wanted(executor, workers, "--{}")


def observed(registry: Registry, observers: Sequence[str]) -> list[str]:
    """The overrides of a task that add observers to it, each under its short name.

    PluginError where there is no such observer.
    """
    found = [registry.find("observer", name) for name in observers]
    return [f'observers."{one.component.name}".method="{one}"' for one in dict.fromkeys(found)]


def show_notes(notes: Sequence[str]) -> None:
    """Prints what is left out of several runs, each on one line on stderr."""
    from harness.text import for_terminal

    for note in notes:
        click.echo(f"harness: {for_terminal(' '.join(note.split()), 2000)}", err=True)


def show_gates(results: Results) -> int:
    """Prints how each gate of the run came out; returns how many failed."""
    from harness.gates import check_results
    from harness.gates.terminal import lines

    found = check_results(results)
    for line in lines(found) if found else ():
        click.echo(line)
    return sum(not one.passed for one in found)
