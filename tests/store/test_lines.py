"""Files that only grow, and files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.store.files import whole, write_text
from harness.store.lines import Lines


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


@pytest.mark.parametrize("line", [b"", b"[1]", b"null", b"{", b"\xff\xfe", b"[" * 100_000])
def test_lines_that_are_not_ours_are_passed_over(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(b'{"n": 0}\n' + line + b'\n{"n": 1}\n')
    assert entries(file) == [{"n": 0}, {"n": 1}]


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
