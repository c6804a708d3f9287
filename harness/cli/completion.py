"""What a shell completes when someone presses Tab: names of tasks, runs, plugins and components.

Click asks these functions while a command is being typed. They import nothing heavy, and where
something is wrong they complete nothing: the command itself will say it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contract import Kind
    from harness.registry import Plugin

Found = list[CompletionItem]
Complete = Callable[[click.Context, click.Parameter, str], Found]
"""What click takes as `shell_complete`."""

MOST = 1000
"""Entries of a folder that are looked at: nobody reads on."""
RUNS = "runs/"
"""Where runs are if nobody said otherwise."""


def tasks(context: click.Context, parameter: click.Parameter, incomplete: str) -> Found:
    """Built-in tasks by name, and task files; the shell adds other files."""
    from harness.task.file import builtin_tasks

    files = (str(file) for file in _entries(incomplete) if file.suffix == ".toml")
    found = _beginning(incomplete, [*builtin_tasks(), *files])
    return [*found, *click.Path().shell_complete(context, parameter, incomplete)]


def runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> Found:
    """Folders of runs in `runs/` and in the folder that is typed; the shell adds other folders."""
    folders = [*_entries(incomplete), *(() if "/" in incomplete else _entries(RUNS))]
    found = _beginning(incomplete, (str(folder) for folder in folders if _is_run(folder)))
    if not found and "/" not in incomplete:  # the name of a run in runs/ without that
        found = [CompletionItem(str(one)) for one in folders if _is_run(one) and
                 one.name.startswith(incomplete)]  # fmt: skip
    return [
        *found,
        *click.Path(file_okay=False).shell_complete(context, parameter, incomplete),
    ]


def components(*kinds: Kind) -> Complete:
    """Installed components of some kinds, by their short names."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> Found:
        provided = (one for plugin in _installed() for one in plugin.components)
        return _beginning(incomplete, (one.name for one in provided if one.kind in kinds))

    return complete


def kinds(context: click.Context, parameter: click.Parameter, incomplete: str) -> Found:
    """The kinds of plugins."""
    from typing import get_args

    from harness.contract import Kind

    return _beginning(incomplete, get_args(Kind))


def plugins(context: click.Context, parameter: click.Parameter, incomplete: str) -> Found:
    """What `harness plugins` takes: plugins, their components, and `check`."""
    known = _installed()
    provided = [one.name for plugin in known for one in plugin.components]
    return _beginning(incomplete, ["check", *(plugin.name for plugin in known), *provided])


def turned_off(context: click.Context, parameter: click.Parameter, incomplete: str) -> Found:
    """`no:NAME` of each plugin."""
    return _beginning(incomplete, (f"no:{plugin.name}" for plugin in _installed()))


def _installed() -> tuple[Plugin, ...]:
    """All plugins; what one prints while it is imported does not reach the line being typed."""
    import contextlib
    import io

    from harness.errors import HarnessError
    from harness.registry import discover

    with contextlib.redirect_stderr(io.StringIO()):
        try:
            return tuple(discover().plugins)
        except HarnessError:
            return ()


def _beginning(incomplete: str, names: Iterable[str]) -> Found:
    """Those of the names that begin so, in order and once; none that a shell would not show."""
    shown = dict.fromkeys(name for name in names if name.startswith(incomplete))
    return [CompletionItem(name) for name in shown if name.isprintable()]


def _entries(incomplete: str) -> Iterator[Path]:
    """What lies in the folder that is being typed: `runs/re` is in `runs/`."""
    from itertools import islice
    from pathlib import Path

    folder = Path(incomplete.rpartition("/")[0] or ("/" if incomplete.startswith("/") else "."))
    try:
        yield from sorted(islice(folder.iterdir(), MOST))
    except (OSError, ValueError):
        return


def _is_run(folder: Path) -> bool:
    try:
        return (folder / "results.json").is_file()
    except OSError:
        return False
