"""One remembered value in a file: it counts where its key and its hash fit, and else is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.store.entry import read_entry, write_entry
from harness.store.notes import hearing, note

VALUE = {"answers": [["text", 0.1], None], "truncated": ["é \ud800"]}


def test_what_was_written_is_read_under_its_key_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "a.json"
    with hearing() as heard:
        assert read_entry(file, "k") is None
        write_entry(file, "k", VALUE)
        assert read_entry(file, "k") == VALUE
    assert not heard
    with hearing() as heard:
        assert read_entry(file, "other") is None
    assert heard == [
        f"{file}: dropped 1 remembered file, because it was made from something else than what is "
        "asked now. What is missing is redone."
    ]


def test_a_file_with_any_letter_changed_is_not_used(tmp_path: Path) -> None:
    """CASES row 10."""
    file = tmp_path / "a.json"
    write_entry(file, "k", VALUE)
    whole = file.read_text()
    for place in range(len(whole)):
        for other in 'a1" ':
            file.write_text(whole[:place] + other + whole[place + 1 :])
            with hearing() as heard:
                found = read_entry(file, "k")
            assert found == VALUE if not heard else found is None, (place, other)


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe", b"[" * 200_000, b'{"key": "k"}'])
def test_a_file_that_is_something_else_is_not_used(tmp_path: Path, content: bytes) -> None:
    """CASES row 21."""
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with hearing() as heard:
        assert read_entry(file, "k") is None
    assert ["torn or changed" in text for text in heard] == [True]


def test_notes_are_heard_once_each_by_the_innermost_and_lost_where_nobody_hears() -> None:
    note("lost")
    with hearing() as outer:
        note("a")
        with hearing() as inner:
            note("b")
        note("a")
    assert (outer, inner) == (["a"], ["b"])
    assert json.dumps(outer)
