"""`harness diff`: says what differs between two models, without a task file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.common import (
    asked_executor,
    executor_option,
    no_cache_option,
    observe_option,
    observed,
    workers_option,
)

if TYPE_CHECKING:
    from harness.contract import Results
    from harness.registry import Registry
    from harness.store.cache import Cache
    from harness.task.draft.draft import Ingredients
    from harness.task.task import Task

TASK = "diff.toml"
"""The task that was run, in the folder of the run."""
LINES = 12
"""Lines of the answer, at most."""


@click.command("diff")
@click.argument("base")
@click.argument("tuned", required=False)
@click.option("--adapter", help="An adapter (LoRA) of BASE, in the place of TUNED.")
@click.option("--data", help="A file with text of your own: jsonl, csv, parquet, txt, …")
@click.option("--column", help="The column of that file that holds the text, if it isn't found.")
@click.option(
    "--sae",
    "saes",
    multiple=True,
    metavar="SAE[@SITE]",
    help="An SAE of BASE: a folder, a folder of them, or a release. May be repeated.",
)
@click.option("--limit", type=click.IntRange(1), help="At most so many texts; 200 without it.")
@click.option("--out", type=click.Path(), help="The run's folder.")
@click.option("--device", help="Where both models run, such as cuda:0.")
@click.option("--dtype", help="What both models compute in, such as bfloat16.")
@observe_option
@executor_option
@workers_option
@click.option("--fresh", is_flag=True, help="Start over instead of continuing an earlier run.")
@no_cache_option
@click.pass_obj
def command(
    disabled: Sequence[str],
    base: str,
    tuned: str | None,
    adapter: str | None,
    data: str | None,
    column: str | None,
    saes: tuple[str, ...],
    limit: int | None,
    out: str | None,
    device: str | None,
    dtype: str | None,
    observers: tuple[str, ...],
    executor: str | None,
    workers: int | None,
    fresh: bool,
    no_cache: bool,
) -> None:
    """Say what differs between two models: how far, at which depth, in which features.

    BASE and TUNED are folders, GGUF files or hub ids; TUNED may be an adapter of BASE. SAEs are
    looked for beside BASE and in the list of sae_lens. The task that is run is kept as diff.toml
    in the run's folder: the start of one of your own.
    """
    from harness.registry import discover
    from harness.settings.apply import personal, together
    from harness.task.draft.asked import Asked
    from harness.task.draft.draft import drafted, found
    from harness.task.draft.names import in_full
    from harness.task.file import source_of, with_overrides
    from harness.task.resolve import resolve

    person = personal()
    cache, also = person.cache(wanted=not no_cache)
    every = {key: value for key, value in (("device", device), ("dtype", dtype)) if value}
    asked = Asked(base, tuned, adapter, data, column, saes, limit, every)
    registry = discover(disabled)
    overrides = observed(registry, observers)
    ingredients = found(registry, asked)
    draft = drafted(ingredients)
    draft = replace(draft, toml=in_full(draft.toml, registry))
    _say(draft.notes)
    folder = Path(out) if out else draft.folder
    source = with_overrides(source_of(draft.toml, folder / TASK), overrides)
    source, own = person.with_task(source, registry, asked_executor(executor, workers))
    task = replace(resolve(source, registry), settings=together(own, also))
    results = _run(task, draft.toml, registry, folder, fresh, cache)
    for line in _answer(results, ingredients, folder):
        click.echo(line)


def _say(notes: Sequence[str]) -> None:
    from harness.text import for_terminal

    for note in notes:
        click.echo(f"note: {for_terminal(note, 600)}", err=True)


def _run(
    task: Task,
    toml: str,
    registry: Registry,
    folder: Path,
    fresh: bool,
    cache: Cache | None,
) -> Results:
    """Runs the task of a draft in the ordinary way, and keeps its text in the run's folder."""
    from harness.garbage import importing

    with importing():
        from harness.planning.planner import plan
        from harness.results.folder import IDENTITY
        from harness.running.progress import terminal_progress
        from harness.running.provenance import command_line
        from harness.running.runner import run
        from harness.store.files import write_text
        from harness.text import for_terminal

    progress = terminal_progress(sys.stderr)
    if task.settings:
        progress.say(for_terminal(str(task.settings), 600))
    try:
        return run(
            plan(task),
            registry,
            folder,
            fresh=fresh,
            command=command_line(),
            progress=progress,
            cache=cache,
        )
    finally:
        if (folder / IDENTITY).is_file():  # the folder is this run's
            write_text(folder / TASK, toml)


def _answer(results: Results, of: Ingredients, folder: Path) -> Iterator[str]:
    """The answer in lines of 80 columns, and where to read on."""
    from harness.results.answer.lines import fitting
    from harness.results.answer.two_models import two_models
    from harness.text import shown_path

    yield from fitting(two_models(results), 80, LINES - 2)
    if of.text.neutral:
        yield "Next: the same command with --data FILE, on text that your model is for."
    page = shown_path(folder / "report.html")
    yield f"Next: see {page}, or change {TASK} beside it and harness eval it."
