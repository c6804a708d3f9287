"""`harness plugins`: lists, shows and checks plugins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli import completion
from harness.cli.common import trust_option
from harness.errors import PluginError, UsageError

if TYPE_CHECKING:
    from harness.registry import Owned, Registry


@click.command("plugins")
@click.argument("words", nargs=-1, metavar="[[check] NAME]", shell_complete=completion.plugins)
@click.option("--seed", default=0, show_default=True, help="With check: for all that laws draw.")
@trust_option
@click.pass_obj
def command(
    disabled: Sequence[str], words: tuple[str, ...], seed: int, trust_local_code: bool
) -> None:
    """List the plugins and what they provide, or show or check one of them.

    NAME is a component (l0, or harness_metrics/l0), whose options are shown, a plugin or a kind,
    or a file of Python with a plugin, which runs only if it is trusted.
    With `check`, the laws of the component, or of everything in the plugin, are tried: each has
    passed, has failed (then this ends with 2), or was not tried, with the reason.
    """
    from harness.authoring.listing import components, list_plugins, show
    from harness.registry import discover

    registry = discover(disabled)
    if words and words[-1].endswith(".py"):
        registry, name = _with_file(registry, words[-1], trust_local_code)
        words = (*words[:-1], name)
    match words:
        case ():
            click.echo(list_plugins(registry))
        case ("check", name):
            _check(components(registry, name), seed)
        case (name,) if name != "check":
            click.echo(show(registry, name))
        case _:
            raise UsageError("write harness plugins [NAME], or harness plugins check NAME.")


def _with_file(registry: Registry, file: str, trusted: bool) -> tuple[Registry, str]:
    """The registry with the plugin in a file, and its name. To name a file here is not to trust
    it: a person may want to know what is in it, and then it must not run."""
    from pathlib import Path

    from harness.registry.local import admit
    from harness.registry.local_code import read_local
    from harness.task.trust import Trust

    code = read_local(Path(file).expanduser())
    if why := Trust(trusted).refused(code):
        raise PluginError(f"{file}: {why}")
    return registry.plus([admit(code)]), code.name


def _check(components: Sequence[Owned], seed: int) -> None:
    """Tries the laws of components, a row for each, and counts what came out.

    PluginError where one is broken. A law that was not tried is no error: its line says why.
    """
    from itertools import groupby

    from harness.authoring.conformance.check import check
    from harness.authoring.conformance.table import Counts, laws, summary

    counts: dict[str, Counts] = {}
    for owned, results in groupby(check(components, seed), key=lambda result: result.owned):
        click.echo(f"{owned}  ({owned.component.kind.replace('_', ' ')})")
        counted = counts[str(owned)] = Counts()
        for line in laws(counted.count(results)):
            click.echo(line)
    click.echo("\n".join(summary(counts)))
    failed = sum(one["FAILED"] for one in counts.values())
    if failed:
        raise PluginError(f"{failed} law{'s' * (failed > 1)} broken. What FAILED says what to do.")
