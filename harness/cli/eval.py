"""`harness eval`: runs tasks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli import completion
from harness.cli.common import (
    asked_executor,
    executor_option,
    limit_option,
    no_cache_option,
    observe_option,
    observed,
    set_option,
    trust_option,
    workers_option,
)
from harness.cli.verbosity import show_results, verbosity_of, verbosity_options
from harness.errors import GateFailed, UsageError
from harness.garbage import importing
from harness.text import for_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from harness.task.task import Task


@click.command("eval")
@click.argument("tasks", nargs=-1, required=True, shell_complete=completion.tasks)
@click.option(
    "--out",
    type=click.Path(),
    help="The run's folder; with several tasks, the folder of their folders.",
)
@set_option
@trust_option
@limit_option
@observe_option
@click.option("--device", help="Where all models run, such as cuda:0.")
@click.option("--dtype", help="What all models compute in, such as bfloat16.")
@executor_option
@workers_option
@click.option("--fresh", is_flag=True, help="Start over instead of continuing an earlier run.")
@no_cache_option
@click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Allow models and evaluators for which the task asks for it to run code of their own.",
)
@verbosity_options
@click.pass_obj
def command(
    disabled: Sequence[str],
    tasks: tuple[str, ...],
    out: str | None,
    overrides: tuple[str, ...],
    trust_local_code: bool,
    limit: int | None,
    observers: tuple[str, ...],
    device: str | None,
    dtype: str | None,
    executor: str | None,
    workers: int | None,
    fresh: bool,
    no_cache: bool,
    trust_remote_code: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Run experiments; the same command again continues one that was cut off.

    Prints the answer of each on one screen. What an earlier run has made already, in whatever
    folder, is taken from the cache (see `harness cache`).
    """
    verbosity = verbosity_of(verbose, quiet)
    from harness.running.progress import Progress, terminal_progress

    progress = Progress() if quiet else terminal_progress(sys.stderr)
    with progress.doing(f"reading {for_terminal(', '.join(tasks), 200)}"), importing():
        from harness.registry import discover
        from harness.settings.apply import personal
        from harness.task.trust import Trust

        person, asked = personal(), asked_executor(executor, workers)
        cache, also = person.cache(wanted=not no_cache)
        registry = discover(disabled)
        overrides = (*observed(registry, observers), *overrides)
        models = {"device": device, "dtype": dtype}
        trust = Trust(trust_local_code)
        loaded = [
            person.load(registry, name, asked, overrides, limit, models, trust, also)
            for name in tasks
        ]
    names = [task.spec.name for task in loaded]
    if len(set(names)) < len(names):
        raise UsageError(f"two tasks are called {max(names, key=names.count)}: run them apart.")

    for said in dict.fromkeys(str(task.settings) for task in loaded if task.settings):
        progress.say(for_terminal(said, 600))
    with progress.doing("importing torch", after=0), importing():  # which takes seconds
        from harness.planning.planner import plan
        from harness.report.page import FILE
        from harness.running.provenance import command_line
        from harness.running.runner import run

    failed = 0
    for task in loaded:
        folder = _folder(task, out, several=len(loaded) > 1)
        results = run(
            plan(task),
            registry,
            folder,
            fresh=fresh,
            remote_code=trust_remote_code,
            command=command_line(),
            progress=progress,
            cache=cache,
        )
        files = (("Report", folder / FILE), ("Results", folder / "results.json"))
        failed += show_results(results, verbosity, files)
    if failed:
        raise GateFailed(f"gates: {failed} failed.")


def _folder(task: Task, out: str | None, *, several: bool) -> Path:
    from pathlib import Path

    from harness.running.folder import default_folder

    if out is None:
        return default_folder(task)
    return Path(out, task.spec.name) if several else Path(out)
