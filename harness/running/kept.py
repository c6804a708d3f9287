"""Whether what the cache holds is as it was written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from harness.running.cached_values import WRONG
from harness.running.experiments import arms_kept, known, shelf
from harness.running.experiments.arms_kept import measured_from
from harness.running.experiments.journal import made_from
from harness.running.experiments.known import verdicts_from
from harness.running.passes import recall
from harness.store import known_files
from harness.store.cache import Cache, CacheEntry
from harness.store.entry import own_key, read_entry
from harness.store.lines import Lines


def unsound(cache: Cache) -> list[CacheEntry]:
    """The entries that do not fit their hash, or are none of ours; they are removed."""
    checks: dict[str, Callable[[CacheEntry], bool]] = {
        recall.KIND: _states,
        shelf.KIND: partial(_value, made_from),
        known.KIND: partial(_value, verdicts_from),
        arms_kept.KIND: partial(_value, measured_from),
        "labels": _lines,
        known_files.KIND: partial(_value, _fact),
    }
    found = [one for one in cache.entries() if not checks.get(one.kind, _nothing)(one)]
    for one in found:
        with suppress(FileNotFoundError):
            one.file.unlink()
    return found


def _states(entry: CacheEntry) -> bool:
    file = entry.file
    key, _, number = file.name.partition(".")
    return number == "0" and recall.kept_states(file.with_name(key)).load() is not None


def _value(read: Callable[[Any], object], entry: CacheEntry) -> bool:
    value = read_entry(entry.file, own_key(entry.file))
    with suppress(*WRONG):
        return value is not None and read(value) is not None
    return False


def _fact(value: Any) -> str | None:
    return value if known_files.is_fact(value) else None


def _lines(entry: CacheEntry) -> bool:
    return Lines(entry.file).whole()


def _nothing(entry: CacheEntry) -> bool:
    return False
