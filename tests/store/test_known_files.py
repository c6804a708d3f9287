"""What was found of a file is used while the file is as it was, and never believed blindly."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.store import known_files as module
from harness.store.cache import Cache
from harness.store.known_files import (
    KIND,
    SMALLEST,
    FileState,
    Halted,
    KnownFiles,
    in_pieces,
    knowing,
    known_files,
    of_each,
    sha256_of,
    state_of,
)
from harness.store.notes import hearing, note

LARGE = b"a" * SMALLEST
OLD = 10 * 10**9


class Finder:
    """Gives an answer, and counts how often it is asked."""

    def __init__(self, answer: str = "yes") -> None:
        self.answer, self.asked = answer, 0

    def __call__(self) -> str:
        self.asked += 1
        return self.answer


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**9)


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A large file that was written long ago, by the clock of the module."""
    file = tmp_path / "large.bin"
    file.write_bytes(LARGE)
    _later(monkeypatch)
    return file


def _later(monkeypatch: pytest.MonkeyPatch, by: int = OLD) -> None:
    now = time.time_ns
    monkeypatch.setattr(module.time, "time_ns", lambda: now() + by)


def _asked(known: KnownFiles, file: Path, about: str = "it", answer: str = "yes") -> int:
    """How often a fact had to be found."""
    find = Finder(answer)
    assert known.fact([state_of(file)], [about], find) == answer
    return find.asked


def test_found_once_by_all_processes(large: Path, cache: Cache) -> None:
    known = KnownFiles(cache)
    assert [_asked(known, large), _asked(known, large)] == [1, 0]
    assert _asked(KnownFiles(cache), large) == 0, "another process"
    assert _asked(known, large, "else") == 1, "another question"
    assert _asked(KnownFiles(), large) == 1, "a process without the cache"


def test_a_link_that_is_turned_while_it_is_read(
    large: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered of a file is of that file, wherever a link to it points meanwhile."""
    other, link, read = large.with_name("other"), large.with_name("link"), module._read
    other.write_bytes(b"o" * SMALLEST)
    link.symlink_to(large)

    def turned(file: Path) -> str:
        link.unlink()
        link.symlink_to(other)
        return read(file)

    monkeypatch.setattr(module, "_read", turned)
    with knowing(KnownFiles(cache)):
        sha256_of(link)
        assert sha256_of(large) == hashlib.sha256(LARGE).hexdigest()
        assert sha256_of(link) == hashlib.sha256(other.read_bytes()).hexdigest()


def test_the_state_is_that_of_the_opened_file(
    large: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network drive answers for a while as it did before, until a file is opened."""
    stale = large.stat()
    assert _asked(KnownFiles(cache), large) == 1
    large.write_bytes(b"n" * SMALLEST)
    monkeypatch.setattr(os, "stat", lambda *given, **more: stale)
    assert _asked(KnownFiles(cache), large, answer="no") == 1


def test_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert state_of(tmp_path / "pipe").size == 0


@pytest.mark.parametrize(
    ("read_only", "part", "shared"),
    [(True, 0, False), (True, 1, True), (False, 0, True), (None, 0, False)],
)
def test_what_lies_in_an_image_is_no_news_for_others(
    read_only: bool | None,
    part: int,
    shared: bool,
    large: Path,
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two images may have the same file by path, size, inode and times, with other content."""
    opened = os.fstat

    def stat(number: int) -> SimpleNamespace:
        its = opened(number)
        return SimpleNamespace(
            st_size=its.st_size, st_ino=7, st_mtime_ns=10**18, st_ctime_ns=10**18 + part
        )

    def about(path: str) -> SimpleNamespace:
        if read_only is None:
            raise OSError("gone")
        return SimpleNamespace(f_flag=os.ST_RDONLY if read_only else 0)

    monkeypatch.setattr(os, "fstat", stat)
    monkeypatch.setattr(os, "statvfs", about)
    known = KnownFiles(cache)
    assert [_asked(known, large), _asked(known, large)] == [1, 0], "this process has one image"
    assert bool(cache.entries()) == shared
    assert _asked(KnownFiles(cache), large) == (0 if shared else 1)


def test_same_size_and_time_of_modification_is_another_content(large: Path, cache: Cache) -> None:
    before = large.stat()
    assert _asked(KnownFiles(cache), large) == 1
    large.write_bytes(b"b" * SMALLEST)
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = large.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    assert _asked(KnownFiles(cache), large, answer="no") == 1


def test_another_inode_is_another_content(large: Path, cache: Cache) -> None:
    before = large.stat()
    assert _asked(KnownFiles(cache), large) == 1
    other = large.with_name("other")
    other.write_bytes(LARGE)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(large)
    assert _asked(KnownFiles(cache), large) == 1


def test_a_moved_file_is_read_again(large: Path, cache: Cache) -> None:
    known = KnownFiles(cache)
    assert _asked(known, large) == 1
    assert _asked(known, large.rename(large.with_name("moved"))) == 1


def test_a_link_is_what_it_points_to(large: Path, cache: Cache) -> None:
    link = large.with_name("link")
    link.symlink_to(large)
    assert _asked(KnownFiles(cache), large) == 1
    assert _asked(KnownFiles(cache), link) == 0


@pytest.mark.parametrize("age", [0, 1_900_000_000, -5 * 10**9])
def test_young_files_are_not_remembered(
    age: int, tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "young.bin"
    file.write_bytes(LARGE)
    born = state_of(file).changed
    monkeypatch.setattr(module.time, "time_ns", lambda: born + age)
    assert [_asked(KnownFiles(cache), file) for _ in range(2)] == [1, 1]
    monkeypatch.setattr(module.time, "time_ns", lambda: born + 2 * 10**9)
    assert [_asked(KnownFiles(cache), file) for _ in range(2)] == [1, 0]


def test_without_inodes_nothing_is_remembered(large: Path) -> None:
    state = state_of(large)
    assert state.settled(module.time.time_ns())
    none = FileState(state.path, state.size, state.modified, state.changed, 0)
    assert not none.settled(module.time.time_ns())


def test_small_files_are_read_each_time(tmp_path: Path, cache: Cache, monkeypatch) -> None:
    file = tmp_path / "small"
    file.write_bytes(LARGE[1:])
    _later(monkeypatch)
    assert [_asked(KnownFiles(cache), file) for _ in range(2)] == [1, 1]
    assert not cache.entries()


def test_changed_while_it_was_read(large: Path, cache: Cache) -> None:
    def find() -> str:
        large.write_bytes(b"c" * SMALLEST)
        return "yes"

    known = KnownFiles(cache)
    assert known.fact([state_of(large)], ["it"], find) == "yes"
    assert not cache.entries()


def test_a_state_that_is_past_is_not_looked_up(large: Path, cache: Cache) -> None:
    """The numbers that are in memory may be those of the file as it is now."""
    known, state = KnownFiles(cache), state_of(large)
    assert _asked(known, large) == 1
    large.write_bytes(b"d" * SMALLEST)
    find = Finder("new")
    assert known.fact([state], ["it"], find) == "new"


@pytest.mark.parametrize("damage", ["cut", "other value", "no text", "not a fact", "a folder"])
def test_a_damaged_entry_is_found_again(damage: str, large: Path, cache: Cache) -> None:
    assert _asked(KnownFiles(cache), large) == 1
    (entry,) = cache.entries()
    assert entry.kind == KIND
    held = json.loads(entry.file.read_text())
    if damage == "cut":
        entry.file.write_text(entry.file.read_text()[:-9])
    elif damage == "other value":
        entry.file.write_text(json.dumps({**held, "value": "no"}))
    elif damage == "no text":
        entry.file.write_bytes(b"\xff\x00")
    elif damage == "not a fact":
        from harness.store.entry import write_entry

        write_entry(entry.file, held["key"], "../../x")
    else:
        entry.file.unlink()
        entry.file.mkdir()
    assert _asked(KnownFiles(cache), large) == 1
    if damage != "a folder":
        assert _asked(KnownFiles(cache), large) == 0, "and it is mended"


def test_an_entry_of_another_file_is_not_taken(large: Path, cache: Cache) -> None:
    other = large.with_name("other")
    other.write_bytes(b"e" * SMALLEST)
    assert _asked(KnownFiles(cache), large) == 1
    (first,) = cache.entries()
    assert _asked(KnownFiles(cache), other, answer="else") == 1
    (second,) = [one for one in cache.entries() if one.file != first.file]
    second.file.write_bytes(first.file.read_bytes())
    assert _asked(KnownFiles(cache), other, answer="else") == 1


def test_what_find_raises_is_raised_and_not_kept(large: Path, cache: Cache) -> None:
    def find() -> str:
        raise ValueError("no")

    known = KnownFiles(cache)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            known.fact([state_of(large)], ["it"], find)
    assert _asked(known, large) == 1


def test_two_threads_find_once(large: Path, cache: Cache) -> None:
    known, asked, started = KnownFiles(cache), [], threading.Barrier(4)

    def find() -> str:
        asked.append(1)
        time.sleep(0.05)
        return "yes"

    def ask() -> None:
        started.wait()
        known.fact([state_of(large)], ["it"], find)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(asked) == 1


def test_bounded_as_all_of_the_cache(large: Path, cache: Cache) -> None:
    for number in range(5):
        assert _asked(KnownFiles(cache), large, f"question {number}") == 1
    most = sum(one.size for one in cache.entries()) // 2
    cache.prune(most)
    assert 0 < sum(one.size for one in cache.entries()) <= most


def test_a_cache_that_cannot_be_written_costs_nothing(large: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    known = KnownFiles(Cache(tmp_path / "file" / "cache", 10**9))
    assert [_asked(known, large), _asked(known, large)] == [1, 0]


def test_sha256(large: Path, cache: Cache) -> None:
    small = large.with_name("small")
    small.write_bytes(b"abc")
    with knowing(KnownFiles(cache)):
        for file in (large, small, large):
            assert sha256_of(file) == hashlib.sha256(file.read_bytes()).hexdigest()
        large.write_bytes(LARGE + b"x")
        assert sha256_of(large) == hashlib.sha256(LARGE + b"x").hexdigest()
    with pytest.raises(FileNotFoundError):
        sha256_of(large.with_name("missing"))


def test_reading_stops_when_nobody_waits(large: Path) -> None:
    halt = threading.Event()
    with knowing(KnownFiles(), halt.is_set):
        assert sha256_of(large)
        large.write_bytes(LARGE[:-1] + b"z")
        halt.set()
        with pytest.raises(Halted):
            sha256_of(large)
    assert sha256_of(large) == hashlib.sha256(LARGE[:-1] + b"z").hexdigest()


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_several_files_give_what_each_gives(number: int, tmp_path: Path) -> None:
    files = [tmp_path / str(n) for n in range(number)]
    for n, file in enumerate(files):
        file.write_bytes(bytes([n]) * 1000 * (number - n))
    expected = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert of_each(sha256_of, iter(files)) == expected


def test_two_files_are_read_at_a_time_and_remembered_by_the_same(large: Path, cache: Cache) -> None:
    known, both, most = KnownFiles(cache), threading.Barrier(2), []

    def find(file: Path) -> str:
        assert known_files() is known
        most.append(both.wait(60))
        return file.name

    with knowing(known):
        assert of_each(find, [Path(name) for name in "abcd"]) == ["a", "b", "c", "d"]
    assert sorted(most) == [0, 0, 1, 1]


def test_what_one_of_several_raises_ends_the_others(large: Path) -> None:
    """An error, or that nobody waits any more: none of the others is read to its end."""
    begun = threading.Event()

    def find(file: Path) -> str:
        if file == large:
            assert begun.wait(60)
            raise OSError("torn")
        while True:
            begun.set()
            list(in_pieces(memoryview(LARGE)))

    for _ in range(3):
        with pytest.raises(OSError, match="torn"):
            of_each(find, [large, Path("endless"), Path("never")])
    with knowing(KnownFiles(), lambda: True), pytest.raises(Halted):
        of_each(sha256_of, [large, large.with_name("large.bin")])


def test_several_files_are_heard_where_they_are_asked_for(large: Path) -> None:
    with hearing() as notes:
        of_each(lambda file: note(file.name) or "a", [Path("a"), Path("b")])
    assert sorted(notes) == ["a", "b"]
