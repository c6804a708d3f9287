"""Files that only grow, and files that are whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random

import pytest

from harness.store.files import whole, write_text
from harness.store.keys import hash_of
from harness.store.lines import SOON, Lines
from harness.store.notes import hearing


def entries(file: Path) -> list[dict[str, object]]:
    return list(Lines(file).read())


def test_what_was_added_is_read_in_order(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "deep" / "lines.jsonl")
    for number in range(3):
        lines.add({"n": number, "text": "a\nb \u2028 \ud800"})
    lines.close()
    lines.add({"n": 3})
    lines.close()
    assert [entry["n"] for entry in entries(tmp_path / "deep" / "lines.jsonl")] == [0, 1, 2, 3]
    assert entries(tmp_path / "deep" / "lines.jsonl")[0]["text"] == "a\nb \u2028 \ud800"


def test_a_line_is_plain_json_of_a_value_and_its_hash(tmp_path: Path) -> None:
    values = [None, [], {}, "}", {"b": 1.5, "a": ['"', {"é": "\ud800"}]}, {1: float("inf")}]
    lines = Lines(tmp_path / "lines.jsonl")
    lines.add(*values)
    lines.close()
    written = (tmp_path / "lines.jsonl").read_text(encoding="ascii").splitlines()
    assert written == [json.dumps({"sha256": hash_of(one), "value": one}) for one in values]


def test_any_cut_loses_at_most_the_line_that_it_hits(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    lines = Lines(file)
    for number in range(3):
        lines.add({"n": number})
    lines.close()
    content = file.read_bytes()
    for cut in range(len(content) + 1):
        file.write_bytes(content[:cut])
        before = entries(file)
        assert before == [{"n": n} for n in range(len(before))]
        assert len(before) >= content[:cut].count(b"\n")
        lines = Lines(file)
        lines.add({"n": "new"})
        lines.close()
        assert entries(file) == [*before, {"n": "new"}]


class Disk:
    """A clock that the test moves, and how much of a file has reached the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.size, self.syncs = 0.0, 0, 0
        monkeypatch.setattr("harness.store.lines.time.monotonic", lambda: self.now)
        monkeypatch.setattr("harness.store.lines.os.fsync", self.fsync)

    def fsync(self, number: int) -> None:
        self.size = os.fstat(number).st_size
        self.syncs += 1


@pytest.mark.parametrize("seed", range(20))
def test_a_power_cut_costs_lines_that_were_made_in_one_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """At every moment all lines are with the system, and those that are not on the disk were made
    in one span of less than a second; `add` and `close` leave none."""
    random, disk, file = Random(seed), Disk(monkeypatch), tmp_path / "lines.jsonl"
    lines, began = Lines(file), list[tuple[int, float, float]]()
    for number in range(200):
        before = disk.now
        disk.now += random.choice([0.0, 0.001, 0.3, 0.999, 1.0, 5.0]) * random.random() ** 2
        began.append((file.stat().st_size if number else 0, before, disk.now))
        act = random.choice([lines.add, *[lines.add_soon] * 8])
        act({"n": number}, *[{"n": number}] * random.randrange(3))
        assert entries(file)[-1] == {"n": number}
        lost = [(made, done) for start, made, done in began if start >= disk.size]
        if lost:
            assert lost[-1][1] - lost[0][0] < SOON
        if act == lines.add:
            assert not lost
        if random.random() < 0.02:
            lines.close()
            assert disk.size == file.stat().st_size
    lines.close()
    assert disk.size == file.stat().st_size
    assert len(began) == 200
    assert disk.syncs < 150


def test_what_is_made_slowly_is_on_the_disk_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, lines = Disk(monkeypatch), Lines(tmp_path / "lines.jsonl")
    for number in range(5):
        disk.now += SOON
        lines.add_soon({"n": number})
        assert disk.size == (tmp_path / "lines.jsonl").stat().st_size
    assert disk.syncs == 5
    lines.add_soon()
    lines.close()
    assert disk.syncs == 5, "nothing was added since"


def test_without_a_file_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, lines = Disk(monkeypatch), Lines(None)
    lines.add({"n": 0})
    lines.add_soon({"n": 0})
    lines.close()
    assert disk.syncs == 0


FOREIGN = [b"[1]", b"null", b"7", b"{", b"\xff\xfe", b"\xff", b"[" * 200_000, b'{"n": 5}',
           b'{"completions": {}}', b'{"sha256": 1, "value": 2}', b"{}", b'"\\ud800"',
           b'{"a":' * 200_000, b"9" * 5000, b"1e999", "{}".encode("utf-16")]  # fmt: skip


@pytest.mark.parametrize("line", FOREIGN, ids=range(len(FOREIGN)))
def test_lines_that_are_not_ours_are_passed_over(tmp_path: Path, line: bytes) -> None:
    """CASES row 21."""
    file = tmp_path / "lines.jsonl"
    lines = Lines(file)
    lines.add({"n": 0}, {"n": 1})
    lines.close()
    first, second = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([first, line, b"", second, b""]))
    with hearing() as heard:
        assert entries(file) == [{"n": 0}, {"n": 1}]
    (said,) = heard
    # UTF-16 may have a newline in it.
    assert said.startswith(f"{file}: dropped 1 remembered line, because it was torn or changed")


def test_a_line_with_any_byte_changed_is_not_used(tmp_path: Path) -> None:
    """CASES row 10: also where the line stays valid JSON, down to one letter of a text."""
    file = tmp_path / "lines.jsonl"
    lines = Lines(file)
    value = {"text": "yes, of course", "n": 12, "x": 0.1, "none": None, "list": [True, "é"]}
    lines.add(value)
    lines.close()
    whole = file.read_bytes()
    for place in range(len(whole)):
        for other in b'a1" ,\n':
            changed = whole[:place] + bytes([other]) + whole[place + 1 :]
            file.write_bytes(changed)
            with hearing() as heard:
                found = entries(file)
            # White space between two tokens of JSON means nothing.
            assert found == [value] if not heard else not found, (place, chr(other))


def test_what_a_reader_does_not_know_is_left_out_and_counted(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "lines.jsonl")
    lines.add({"n": 1}, {"m": 2}, {"n": 3}, [4])
    with hearing() as heard:
        assert list(lines.entries(lambda value: value["n"])) == [1, 3]
    lines.close()
    assert len(heard) == 1
    assert "dropped 2 remembered lines" in heard[0]


def test_without_a_file_nothing_is_kept() -> None:
    lines = Lines(None)
    lines.add({"n": 0})
    lines.close()
    assert list(lines.read()) == []


def test_an_error_leaves_the_earlier_file(tmp_path: Path) -> None:
    file = tmp_path / "a" / "file.txt"
    write_text(file, "one\r\n")
    with pytest.raises(UnicodeEncodeError), whole(file) as partial:
        partial.write_text("twö", encoding="ascii")
    assert file.read_bytes() == b"one\r\n"
    assert list(file.parent.iterdir()) == [file]
    with whole(file) as partial:
        partial.write_text("two")
    assert file.read_text() == "two"
