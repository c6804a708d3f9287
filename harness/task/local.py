"""The plugins in files beside a task: `plugins = ["./my_metric.py"]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import PluginError, Problem, TaskError
from harness.registry.local import admit
from harness.registry.local_code import LocalCode, read_local
from harness.task.paths import locate

if TYPE_CHECKING:
    from harness.contract import Kind
    from harness.registry import Plugin, Registry
    from harness.task.file import Source
    from harness.task.trust import Trust

KEY = "plugins"


def with_local_plugins(
    source: Source, registry: Registry, trust: Trust
) -> tuple[Registry, tuple[Plugin, ...]]:
    """The registry with the plugins of a task's own files, and these alone.

    All files are read before the first one runs. Raises TaskError, before anything runs, where one
    is not trusted; it is then the one thing that is said, since nobody knows what the file holds.
    """
    written = source.values.get(KEY, ())
    if not isinstance(written, list) or not all(isinstance(text, str) for text in written):
        return registry, ()  # the validation of the task says what is wrong with it
    read = [_read(source, number, text) for number, text in enumerate(written)]
    _complain([one for one in read if isinstance(one, Problem)])
    files = {number: one for number, one in enumerate(read) if isinstance(one, LocalCode)}
    refused = {number: trust.refused(code) for number, code in files.items()}
    _complain([source.problem((KEY, number), why) for number, why in refused.items() if why])
    plugins: list[Plugin] = []
    for number, code in files.items():
        try:
            plugins.append(admit(code))
            registry.plus(plugins)
        except PluginError as error:
            _complain([source.problem((KEY, number), str(error))])
    return registry.plus(plugins), tuple(plugins)


def of_a_run(
    provenance: Mapping[str, Any],
    registry: Registry,
    trust: Trust,
    kinds: Sequence[Kind] = ("section",),
) -> tuple[Registry, tuple[str, ...]]:
    """The registry with the plugins in files of their own that have something to show in the
    report of a run, or something else of these kinds, and for each that can't, why it is left out.

    A run's numbers need no code any more, so nothing here is an error.
    """
    wanted = tuple(f"{kind}:" for kind in kinds)
    known = provenance.get("local_code")
    notes: list[str] = []
    for name, about in (known if isinstance(known, Mapping) else {}).items():
        try:
            if not any(text.startswith(wanted) for text in about["components"]):
                continue
            code = read_local(Path(about["path"]))
            why = trust.refused(code)
            if code.sha256 != about["sha256"]:
                why = f"{code.file.name} has changed since the run."
            if not why:
                registry = registry.plus([admit(code)])
        except PluginError as error:
            why = str(error)
        except (AttributeError, KeyError, TypeError):
            why = "results.json does not say which file it was."
        if why:
            notes.append(f"what plugin {name} shows is left out: {why}")
    return registry, tuple(notes)


def _read(source: Source, number: int, text: str) -> LocalCode | Problem:
    at = (KEY, number)
    if not text.endswith(".py"):
        what = (
            f"{text!r:.80}: is no file of Python. Allowed: a file that ends in .py. A package is "
            "installed, and needs no entry; to ask for one, write requires."
        )
        return source.problem(at, what)
    place = locate(text, at, source, hub=False)
    if isinstance(place, Problem):
        return place
    origin = source.origin(at)
    folder = origin.file.parent if origin.file else Path.cwd()
    try:
        return read_local(folder / Path(text).expanduser())
    except PluginError as error:
        return source.problem(at, str(error))


def _complain(problems: list[Problem]) -> None:
    if problems:
        raise TaskError(problems)
