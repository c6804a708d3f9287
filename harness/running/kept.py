"""Whether what the cache holds is as it was written."""

from __future__ import annotations

from contextlib import suppress

from harness.running.experiments import shelf
from harness.running.experiments.journal import made_from
from harness.running.passes import recall
from harness.store.cache import Cache, CacheEntry
from harness.store.entry import read_entry
from harness.store.states import PassStates


def unsound(cache: Cache) -> list[CacheEntry]:
    """The entries that do not fit their hash, or are none of ours; they are removed."""
    checks = {recall.KIND: _states, shelf.KIND: _completions}
    found = [one for one in cache.entries() if not checks.get(one.kind, _nothing)(one)]
    for one in found:
        with suppress(FileNotFoundError):
            one.file.unlink()
    return found


def _states(entry: CacheEntry) -> bool:
    file = entry.file
    key, _, number = file.name.partition(".")
    return number == "0" and PassStates(file.with_name(key), key).load() is not None


def _completions(entry: CacheEntry) -> bool:
    value = read_entry(entry.file, entry.file.stem)
    with suppress(AttributeError, LookupError, TypeError, ValueError):
        return value is not None and bool(made_from(value).completions)
    return False


def _nothing(entry: CacheEntry) -> bool:
    return False
