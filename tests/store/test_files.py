"""Files are whole or not there, and read by whoever the umask lets read, whoever wrote them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.contract import Arrays, Direction, Found, Site
from harness.results.write import write_arrays, write_directions
from harness.store.files import remove_partial, whole, write_text
from harness.store.states import PassStates, Saved


@pytest.fixture(params=[0o022, 0o027, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """A umask for the length of a test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """The permissions of every file below a folder."""
    return {f.name: f.stat().st_mode & 0o777 for f in folder.rglob("*") if f.is_file()}


def test_every_kind_of_file_is_as_readable_as_the_umask_says(tmp_path: Path, umask: int) -> None:
    """safetensors' own writer makes files that only their owner may read."""
    vectors = np.ones((1, 3), dtype=np.float32)
    direction = Direction(Site("resid_post", 2), vectors)
    write_directions(tmp_path, {"refusal": [Found(direction, {"k": 8})]})
    write_arrays(tmp_path, [Arrays("flips", {}, {"a": vectors})])
    PassStates(tmp_path / "pass", "key").save(Saved(1, "d", [{"": {"sums": vectors}}]))
    write_text(tmp_path / "a.txt", "text")
    found = modes(tmp_path)
    assert len(found) == 4
    assert set(found.values()) == {0o666 & ~umask}


def test_a_file_that_others_could_not_read_can_be_read_when_it_is_written_anew(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.txt"
    file.touch(0o600)
    write_text(file, "new")
    reference = tmp_path / "reference"
    reference.touch()
    assert file.stat().st_mode == reference.stat().st_mode


def test_what_a_crash_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = tmp_path / "work" / ".a.txt.0123abcd.partial"
    others = [left.with_name(name) for name in (".b.partial", "c.0123abcd.partial", "d.txt")]
    for file in (left, *others):
        write_text(file, "half")
    remove_partial(tmp_path, older=60)
    assert left.exists()  # somebody may be writing it
    os.utime(left, (0, 0))
    remove_partial(tmp_path, older=60)
    assert not left.exists()
    left.touch()
    remove_partial(tmp_path)
    assert not left.exists()
    assert all(map(Path.exists, others))


def test_many_may_write_one_file_while_its_folder_comes_and_goes(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "a.txt"
    texts = [str(number) * 10_000 for number in range(4)]
    done = threading.Event()
    seen: list[str] = []

    def remove() -> None:
        while not done.is_set():
            with suppress(OSError):
                file.parent.rmdir()
            with suppress(OSError):
                seen.append(file.read_text())
                file.unlink()

    def write(text: str) -> None:
        for _ in range(50):
            write_text(file, text)

    remover = threading.Thread(target=remove)
    remover.start()
    with ThreadPoolExecutor(4) as pool:
        for made in [pool.submit(write, text) for text in texts]:
            made.result()
    done.set()
    remover.join()
    assert set(seen) <= {*texts}  # whole, always
    assert seen


def test_a_folder_that_goes_between_two_looks_at_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, raced = Path.mkdir, [FileExistsError, FileNotFoundError]

    def race(self: Path, *given: Any, **more: Any) -> None:
        if raced:
            raise raced.pop()
        mkdir(self, *given, **more)

    monkeypatch.setattr(Path, "mkdir", race)
    write_text(tmp_path / "deep" / "a.txt", "whole")
    assert (tmp_path / "deep" / "a.txt").read_text() == "whole"
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "file" / "a.txt", "never")


def test_a_file_system_without_permissions_costs_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, mode: int) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "chmod", refuse)
    with whole(tmp_path / "a") as partial:
        partial.unlink()
        partial.touch(0o600)
    assert (tmp_path / "a").exists()


def test_an_error_leaves_the_earlier_file_and_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def fail() -> None:
        with whole(file) as partial:
            partial.write_text("new")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]
    assert file.read_text() == "old"
