"""What was found of large files, remembered by what tells one content of a file from another.

A file is known by its path, size, inode and the times of its last change. A change that keeps the
size and sets the time of modification back still shows: in the time of change, which nobody can
set, or in the inode. What was found of a file is remembered only where each later change must show
(`FileState.settled`), for other processes only where the times are those of changes
(`FileState.in_image`), and used only while the file is in the very same state. All else is looked
at anew: other files, small ones, entries of the cache that are torn, and all files of a system that
gives no lasting inodes.

Two things do not show. On FAT and some drives of object stores the time of change is a copy of that
of modification: who sets it back there, and keeps the size, has to empty the cache. And what a
program writes through a shared mapping shows up to half a minute late: load a file when it is done.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeGuard

from harness.store.cache import Cache
from harness.store.entry import own_key, read_entry, write_spare
from harness.store.keys import key_of

KIND = "files"
"""What entries of the cache are called that hold something of a file."""
SMALLEST = 2**20
"""Bytes of the least that is remembered: what is smaller is read as fast as an entry."""
_YOUNG = 2 * 10**9
"""Nanoseconds: two changes that are not as far apart may have the same time."""
_FORM = re.compile(r"[0-9a-z]{1,64}")
_PIECE = 2**26


@dataclass(frozen=True)
class FileState:
    """What tells one content of a file from another, without reading it. Times in nanoseconds."""

    path: str
    size: int
    modified: int
    changed: int
    inode: int

    def settled(self, now: int) -> bool:
        """Whether any change from `now` on, in nanoseconds since the epoch, makes another state.

        Not where the last change is younger than two seconds, or in the future of this machine's
        clock. Nor where there are no inodes; nor on Windows, where the time of change can't be had.
        """
        young = now - max(self.modified, self.changed) < _YOUNG
        return self.inode != 0 and os.name != "nt" and not young

    def in_image(self) -> bool:
        """Whether it may lie in an image that is mounted (squashfs of a container, ISO 9660).

        Times there are what the image's maker wrote, often the same for all files, and so are
        inodes: at the same path of another image another content may be in the same state. Such
        mounts can only be read, and their times are whole seconds.
        """
        if self.changed % 10**9:
            return False
        try:
            return bool(os.statvfs(self.path).f_flag & os.ST_RDONLY)
        except OSError:
            return True

    def stands(self) -> bool:
        """Whether the file is in this state still."""
        try:
            return state_of(Path(self.path)) == self
        except OSError:
            return False


def state_of(file: Path) -> FileState:
    """The state of a file, of what a link points to; OSError where it cannot be opened.

    It is that of the file when it is opened: what a network drive says of a file that is not open
    may be a minute old.
    """
    real = file.resolve()
    # A pipe keeps nobody waiting.
    opened = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        its = os.fstat(opened)
    finally:
        os.close(opened)
    return FileState(str(real), its.st_size, its.st_mtime_ns, its.st_ctime_ns, its.st_ino)


class KnownFiles:
    """What was found of files, by this process and with a cache by others; threads may share it."""

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache
        self._here: dict[str, str] = {}
        self._turns: dict[str, threading.Lock] = {}

    def fact(
        self, states: Sequence[FileState], about: Sequence[str], find: Callable[[], str]
    ) -> str:
        """What `find` gives of the content of some files, remembered.

        `about` says what is asked for, all that the answer depends on beside the files; the answer
        is up to 64 small letters and digits. Of two threads that ask for the same, one finds it
        and the other waits. What `find` raises is raised.
        """
        if sum(one.size for one in states) < SMALLEST:
            return find()
        key = key_of([astuple(one) for one in states], *about)
        with self._turns.setdefault(key, threading.Lock()):
            stand = all(one.stands() for one in states)
            if stand and (known := self._known(key)) is not None:
                return known
            begun = time.time_ns()
            found = find()
            # A change while it was read leaves another state, if not now then by the next time.
            if stand and all(one.settled(begun) and one.stands() for one in states):
                self._keep(key, found, for_others=not any(one.in_image() for one in states))
        return found

    def _known(self, key: str) -> str | None:
        if key in self._here or self._cache is None:
            return self._here.get(key)
        file = self._place(self._cache, key)
        found = read_entry(file, own_key(file))
        if not is_fact(found):
            return None
        with self._cache.reading(file):
            self._here[key] = found
        return self._here[key]

    def _keep(self, key: str, found: str, *, for_others: bool) -> None:
        self._here[key] = found
        if for_others and self._cache is not None:
            with self._cache.writing() as writes:
                if writes:
                    file = self._place(self._cache, key)
                    write_spare(file, own_key(file), found)

    @staticmethod
    def _place(cache: Cache, key: str) -> Path:
        place = cache.place(KIND, key)
        return place.with_name(f"{place.name}.json")


def is_fact(value: object) -> TypeGuard[str]:
    """Whether a value has the form of what is remembered of files."""
    return isinstance(value, str) and _FORM.fullmatch(value) is not None


_present: ContextVar[KnownFiles] = ContextVar("_present", default=KnownFiles())  # noqa: B039
_ended: ContextVar[Callable[[], bool] | None] = ContextVar("_ended", default=None)


@contextmanager
def knowing(known: KnownFiles, ended: Callable[[], bool] | None = None) -> Iterator[None]:
    """In the block, what is found of files is remembered there.

    `ended` is asked again and again while a large file is read; from when it says so, whoever reads
    one in the block stops, with `Halted`.
    """
    before, asked = _present.set(known), _ended.set(ended)
    try:
        yield
    finally:
        _present.reset(before)
        _ended.reset(asked)


class Halted(Exception):
    """A file was not read to its end, because nobody waits for it any more."""


def known_files() -> KnownFiles:
    """What is known of files here: what a run has set, or what this process alone has found."""
    return _present.get()


def in_pieces(content: memoryview) -> Iterator[memoryview]:
    """Bytes, some at a time; `Halted` where nobody waits for them any more."""
    for start in range(0, len(content), _PIECE):
        _go_on()
        yield content[start : start + _PIECE]


def _go_on() -> None:
    ended = _ended.get()
    if ended is not None and ended():
        raise Halted


def sha256_of(file: Path) -> str:
    """The sha256 of a file's content, remembered for as long as the file stays as it is.

    OSError where the file cannot be read.
    """
    state = state_of(file)
    # Not `file`: that may be a link, which points to another file by now.
    return known_files().fact([state], ["sha256"], lambda: _read(Path(state.path)))


def of_each(find: Callable[[Path], str], files: Iterable[Path]) -> list[str]:
    """What `find`, such as `sha256_of`, gives of each file, in their order.

    Two are read at a time: a sum of all bytes of a file is made by one core. What is raised for one
    of them is raised, and no other is read to its end then.
    """
    files = list(files)
    if len(files) < 2:
        return [find(file) for file in files]
    from concurrent.futures import ThreadPoolExecutor  # not each command reads large files

    stop, known, outer = threading.Event(), known_files(), _ended.get()

    def ended() -> bool:
        return stop.is_set() or (outer is not None and outer())

    def found(file: Path) -> str:
        with knowing(known, ended):
            return find(file)

    with ThreadPoolExecutor(2) as pool:
        # What is noted of remembered work is heard where this thread hears it.
        waited = [pool.submit(copy_context().run, found, file) for file in files]
        try:
            return [one.result() for one in waited]
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _read(file: Path) -> str:
    total = hashlib.sha256()
    buffer = memoryview(bytearray(2**20))
    with file.open("rb", buffering=0) as content:
        while size := content.readinto(buffer):
            total.update(buffer[:size])
            _go_on()
    return total.hexdigest()
