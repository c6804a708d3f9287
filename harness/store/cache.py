"""What runs have made, kept for other runs: one folder of a person's, shared by all of their tasks.

Each entry is a file of its own, named by a hash of all that it was made from, so that two tasks
find the same entry if they ask for the same work, and never one that is not theirs. Whoever reads
an entry holds it against a hash of itself. Files are written whole and removed whole, so several
runs may use one folder at the same time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.store.files import remove_partial, write_text
from harness.store.notes import note

FOLDER, LIMIT = "HARNESS_CACHE", "HARNESS_CACHE_LIMIT"
"""Variables of the environment: where the cache is (empty: nowhere), and how large it may be."""
USUAL_LIMIT = "10GB"
FORMAT = 1
"""The form of the entries. A folder of a later one is left alone."""
_VALUE = re.compile(r"[0-9a-f]{32}\.json")
KINDS = {
    "passes": re.compile(r"[0-9a-f]{32}\.[01]"),
    "completions": _VALUE,
    "verdicts": _VALUE,
    "benchmarks": _VALUE,
    "labels": re.compile(r"[\w.-]+\.jsonl", re.ASCII),
    "files": _VALUE,
}
"""What is kept, a folder each, with the names of its files: those of labels are what a source has
published of an SAE, and are kept by that source; those of files are hashes of large files
(`known_files`). Nothing else in the folder is ever looked at or removed."""
_MARK = "cache-format"
_HOUR = 3600.0
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", re.IGNORECASE)


@dataclass(frozen=True)
class CacheEntry:
    """A file of the cache: what kind of work it holds, its size, and when it was used last."""

    file: Path
    kind: str
    size: int
    used: float
    """Seconds since the epoch."""


class Cache:
    """The folder, of which a run is given one or none.

    A disk that is full or may not be written to costs no run: it is noted once, and what is made
    from then on is not kept here.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._writes = True

    def opened(self) -> Cache | None:
        """This cache; None, which is noted, where a later version of the harness wrote it."""
        with suppress(OSError, ValueError):
            if int((self.folder / _MARK).read_text("ascii")) > FORMAT:
                note(
                    f"{self.folder}: the cache is of a later version of the harness, so it is left "
                    f"alone. Set {FOLDER} to another folder to have one for this version."
                )
                return None
        return self

    def place(self, kind: str, *keys: str) -> Path:
        """Where an entry, or a folder of entries, of this kind and key lies."""
        return self.folder.joinpath(kind, keys[0][:2], *keys)

    @contextmanager
    def reading(self, file: Path) -> Iterator[None]:
        """Around the use of an entry, which then counts as used just now."""
        yield
        with suppress(OSError):
            os.utime(file)

    @contextmanager
    def writing(self) -> Iterator[bool]:
        """Around what writes an entry: gives whether it should. OSErrors are noted, once."""
        if self._writes:
            with self._noting():
                if not (self.folder / _MARK).exists():
                    write_text(self.folder / _MARK, f"{FORMAT}\n")
        with self._noting():
            yield self._writes

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._writes = False
            note(
                f"{self.folder}: the cache could not be written: {error.strerror or error}. The "
                "run goes on, and what it makes is not kept for other runs."
            )

    def entries(self) -> list[CacheEntry]:
        """All entries, those that were not used for the longest time first."""
        found = []
        walks = [(kind, one) for kind in KINDS for one in os.walk(self.folder / kind)]
        for kind, (place, _, files) in walks:
            for file in (Path(place, name) for name in files if KINDS[kind].fullmatch(name)):
                with suppress(OSError):  # another run has removed it
                    about = file.stat()
                    found.append(CacheEntry(file, kind, about.st_size, about.st_mtime))
        return sorted(found, key=lambda one: (one.used, str(one.file)))

    def prune(self, most: int) -> list[CacheEntry]:
        """Removes entries until at most so many bytes are left; returns what was removed."""
        for kind in KINDS:
            remove_partial(self.folder / kind, _HOUR)
        entries = self.entries()
        total, removed = sum(one.size for one in entries), []
        for one in entries:
            if total <= most:
                break
            with suppress(FileNotFoundError):
                one.file.unlink()
            total -= one.size
            removed.append(one)
        self._remove_empty_folders()
        return removed

    def _remove_empty_folders(self) -> None:
        for kind in KINDS:
            for place, _, _ in os.walk(self.folder / kind, topdown=False):
                with suppress(OSError):  # it holds something
                    Path(place).rmdir()


def usual_cache(folder: Path | None = None, limit: str | None = None) -> Cache | None:
    """The cache that the environment names; without that the one in `folder`, by default in the
    person's folder for caches; None where it is turned off. `limit` is its size where the
    environment has none.

    Raises UsageError for a limit that is no size, and for a place that is no folder.
    """
    named = os.environ.get(FOLDER)
    if named == "":
        return None
    place = Path(named).expanduser() if named else folder or _usual_folder()
    if place.exists() and not place.is_dir():
        raise UsageError(
            f"{FOLDER}: {place} is a file. Allowed: a folder, or a place for a new one; empty, "
            "nothing is kept. Name another, or unset it."
        )
    return Cache(place.absolute(), size_of(os.environ.get(LIMIT) or limit or USUAL_LIMIT, LIMIT))


def size_of(text: str, where: str) -> int:
    """Bytes from `10GB`, `500 MB`, `0`. UsageError, which says `where`, for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{where}: {text!r} is no size. Allowed: a number with KB, MB, GB or TB, such as 10GB."
        )
    return int(float(match[1]) * 1000 ** ("KMGT".find(match[2].upper()) + 1 if match[2] else 0))


def _usual_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "sae-harness"
