"""Values of one kind in the cache: each a file, under a key of all that it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from harness.store.cache import Cache
from harness.store.entry import own_key, read_entry, write_spare
from harness.store.notes import CHANGED, dropped

T_ = TypeVar("T_")
WRONG = (AttributeError, LookupError, TypeError, ValueError)
"""What reading a value of another form comes to."""


class CachedValues:
    """What the cache has of one kind, or nothing where there is no cache.

    `read` makes an object of a JSON value, and raises one of `WRONG` where that is something else.
    What is torn, was changed or is something else is noted, and removed.
    """

    def __init__(self, cache: Cache | None, kind: str) -> None:
        self._cache = cache
        self._kind = kind

    def one(self, key: str, read: Callable[[Any], T_]) -> T_ | None:
        """The value under a key; None where there is none."""
        if self._cache is None:
            return None
        return self._read(self._cache, self._cache.place(self._kind, f"{key}.json"), read)

    def put(self, key: str, value: Any) -> None:
        """Keeps a JSON value under a key."""
        if self._cache is not None:
            self._write(self._cache, self._cache.place(self._kind, f"{key}.json"), value)

    def all(self, folder: str, read: Callable[[Any], T_]) -> Iterator[tuple[Path, T_]]:
        """All values in a folder that is called after a key, with their files, in an order of
        their own. None counts as used: see `used`."""
        if self._cache is None:
            return
        place = self._cache.place(self._kind, folder)
        for file in sorted(place.glob("*.json")) if place.is_dir() else ():
            if (found := self._read(self._cache, file, read, using=False)) is not None:
                yield file, found

    def put_into(self, folder: str, key: str, value: Any) -> None:
        """Keeps a JSON value in a folder."""
        if self._cache is not None:
            self._write(self._cache, self._cache.place(self._kind, folder, f"{key}.json"), value)

    def used(self, file: Path) -> None:
        """Says that something of a file was used just now."""
        if self._cache is not None:
            with self._cache.reading(file):
                pass

    def _read(
        self, cache: Cache, file: Path, read: Callable[[Any], T_], using: bool = True
    ) -> T_ | None:
        if not file.exists():
            return None
        value = read_entry(file, own_key(file))
        try:
            found = None if value is None else read(value)
        except WRONG:
            found = None
            dropped(file, 1, "remembered file", CHANGED)
        if found is None:
            with cache.writing() as writes:
                if writes:
                    file.unlink(missing_ok=True)  # noted where it was read
        elif using:
            self.used(file)
        return found

    def _write(self, cache: Cache, file: Path, value: Any) -> None:
        with cache.writing() as writes:
            if writes:
                write_spare(file, own_key(file), value)
