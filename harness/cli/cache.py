"""`harness cache`: what runs have made and kept for other runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.store.cache import Cache, CacheEntry


@click.group("cache", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Show what runs have kept for other runs: passes over activations, completions, verdicts of
    models that judge, arms of benchmarks, and published labels.

    Nothing that an earlier run has made is made again, in whatever folder or task: an entry is
    found by all that it depends on (models, SAEs, prompts, options, code), never by a name. The
    folder is that of HARNESS_CACHE, or of `cache` in your configuration file, or sae-harness in
    your folder for caches; it holds at most HARNESS_CACHE_LIMIT (`cache_limit`, 10GB), and what was
    not used for the longest time goes first.
    """
    if context.invoked_subcommand is None:
        _show(_cache())


@command.command("prune")
@click.option(
    "--to", "most", default="0", metavar="SIZE", help="How much is to be left, such as 2GB [0]."
)
def prune(most: str) -> None:
    """Remove entries, those first that were not used for the longest time."""
    from harness.store.cache import size_of

    cache, size = _cache(), size_of(most, "--to")
    _changed(cache, "removed", lambda: cache.prune(size))


@command.command("verify")
def verify() -> None:
    """Read every entry, and remove those that are torn or were changed."""
    from harness.running.kept import unsound

    cache = _cache()
    _changed(cache, "torn or changed, and removed", lambda: unsound(cache))


def _changed(cache: Cache, what: str, change: Callable[[], list[CacheEntry]]) -> None:
    from harness.machine import machine_errors

    with machine_errors(cache.folder):
        gone = change()
    click.echo(f"{len(gone)} {_entries(len(gone))} {what} ({_size(gone)})")
    _show(cache)


def _show(cache: Cache) -> None:
    from harness.cli.common import show_notes
    from harness.machine import machine_errors
    from harness.store.notes import hearing
    from harness.text import for_terminal

    with machine_errors(cache.folder), hearing() as notes:
        cache.opened()
        entries = cache.entries()
    click.echo(for_terminal(str(cache.folder), 1000))
    for kind in sorted({one.kind for one in entries}):
        mine = [one for one in entries if one.kind == kind]
        click.echo(
            f"{for_terminal(kind, 30):<14}{len(mine):>8,} {_entries(len(mine)):<9}{_size(mine):>10}"
            f"  last used {_day(max(one.used for one in mine))}"
        )
    click.echo(f"{_size(entries)} of at most {_bytes(cache.limit)}")
    show_notes(notes)


def _cache() -> Cache:
    from harness.errors import UsageError
    from harness.settings.apply import personal
    from harness.store.cache import FOLDER

    cache, said = personal().cache()
    if cache is None and "cache" in said.keys:
        raise UsageError(
            f"{said.file}: cache is false, so nothing is kept. Name a folder there, or in {FOLDER}."
        )
    if cache is None:
        raise UsageError(f"{FOLDER} is empty, so nothing is kept. Set it to a folder, or unset it.")
    return cache


def _entries(count: int) -> str:
    return "entry" if count == 1 else "entries"


def _size(entries: list[CacheEntry]) -> str:
    return _bytes(sum(one.size for one in entries))


def _bytes(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _day(seconds: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d")
