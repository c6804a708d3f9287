"""Puts a person's settings where a task, a command and the environment leave something open."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import TaskError
from harness.settings.file import settings
from harness.store.cache import FOLDER, LIMIT, usual_cache
from harness.task.applied import Applied
from harness.task.executor import TABLE, Wanted, with_executor
from harness.task.file import Origin, Source, tables
from harness.task.load import load_for_command, takes_key

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.settings.file import Settings
    from harness.store.cache import Cache
    from harness.task.file import KeyPath
    from harness.task.task import Task
    from harness.task.trust import Trust

OFFLINE = "HF_HUB_OFFLINE"
"""The variable that the libraries of the hub read once, when they are imported."""


@dataclass(frozen=True)
class Personal:
    """A person's settings as they are in force for a command."""

    settings: Settings
    offline: bool = False
    """Whether it is they that keep the hub from being asked."""

    def with_task(
        self, source: Source, registry: Registry, executor: Wanted
    ) -> tuple[Source, Applied]:
        """A task with these settings beneath it and the `executor` of a command above it; and
        which of the settings it got.

        A model gets `device` and `dtype` where its backend has such an option and its table does
        not say it.
        """
        found: dict[str, tuple[str, ...]] = {}
        for key in ("device", "dtype"):
            value = getattr(self.settings.spec, key)
            if value is not None:
                source, models = _filled(source, registry, key, value, self._origin(key))
                found |= {key: models} if models else {}
        source, keys = with_executor(source, registry, executor, self._executor())
        if keys - {"workers"} or (keys and self.settings.spec.workers is None):
            found["executor"] = ()
        if keys & {"workers"} and self.settings.spec.workers is not None:
            found["workers"] = ()
        return source, Applied(self.settings.file, found)

    def load(
        self,
        registry: Registry,
        name: str,
        executor: Wanted,
        overrides: Sequence[str] = (),
        limit: int | None = None,
        models: Mapping[str, str | None] | None = None,
        trust: Trust | None = None,
        also: Applied | None = None,
    ) -> Task:
        """Loads a task as `load_for_command` does, with these settings beneath it and the
        `executor` of the command above it. `also` are those that the command itself has got."""
        found = [also] if also else []

        def changed(source: Source) -> Source:
            source, applied = self.with_task(source, registry, executor)
            found.insert(0, applied)
            return source

        task = load_for_command(registry, name, overrides, limit, models, trust, changed)
        return replace(task, settings=together(*found))

    def cache(self, *, wanted: bool = True) -> tuple[Cache | None, Applied]:
        """The cache of a command, None where it is not `wanted` or turned off; and which of the
        settings of a command as a whole have an effect. UsageError as `usual_cache`."""
        spec = self.settings.spec
        found: dict[str, tuple[str, ...]] = {}
        if wanted and spec.cache is not None and FOLDER not in os.environ:
            found["cache"] = ()
        off = os.environ.get(FOLDER) == "" or ("cache" in found and spec.cache is False)
        if wanted and not off and spec.cache_limit is not None and not os.environ.get(LIMIT):
            found["cache_limit"] = ()
        if self.offline:
            found["offline"] = ()
        applied = Applied(self.settings.file, found)
        if not wanted or off:
            return None, applied
        folder = self._folder(spec.cache) if "cache" in found and spec.cache else None
        return usual_cache(folder, spec.cache_limit), applied

    def _folder(self, place: str) -> Path:
        """A folder that the file names; a relative one lies beside the file."""
        assert self.settings.source is not None
        source = self.settings.source
        folder = source.file.parent / Path(place).expanduser()
        if folder.exists() and not folder.is_dir():
            what = f"{folder} is a file. Allowed: a folder, a place for a new one, or false."
            raise TaskError([source.problem(("cache",), what)])
        return folder

    def _executor(self) -> Wanted:
        spec = self.settings.spec
        given = {"method": spec.executor} if isinstance(spec.executor, str) else spec.executor
        keys = dict(given or {})
        # No task file says it, but a person: as if it stood in the command.
        origins = {key: Origin(None, given=str(self._origin(TABLE, key))) for key in keys}
        if spec.workers is not None:
            keys["workers"] = spec.workers
            origins["workers"] = Origin(None, given=str(self._origin("workers")))
        return Wanted(keys, origins)

    def _origin(self, *at: str) -> Origin:
        assert self.settings.source is not None
        return self.settings.source.origin(at)


def personal() -> Personal:
    """Reads a person's settings and, where they say so, keeps the hub from being asked: call it
    before anything that may import a library of the hub. Raises as `settings` does."""
    found = settings()
    offline = found.spec.offline and OFFLINE not in os.environ
    if offline:
        os.environ[OFFLINE] = "1"
    return Personal(found, offline)


def together(*some: Applied) -> Applied:
    """What has an effect in one place or another, of one file."""
    return replace(some[0], keys={key: of for one in some for key, of in one.keys.items()})


def _filled(
    source: Source, registry: Registry, key: str, value: str, origin: Origin
) -> tuple[Source, tuple[str, ...]]:
    """A task with a key in the table of each model that takes it and has it not; and which."""
    takes = takes_key(registry)
    models = {
        name: {**entry, key: value}
        for name, entry in tables(source.values, "models")
        if isinstance(entry, dict) and key not in entry and takes(entry, key)
    }
    if not models:
        return source, ()
    values = {**source.values, "models": {**source.values["models"], **models}}
    origins: dict[KeyPath, Origin] = {("models", name, key): origin for name in models}
    names = tuple(f"models.{name}" for name in models)
    return Source(source.file, values, {**source.origins, **origins}), names
