"""One remembered value in a file: it counts where its key and its hash fit, and else is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.store.entry import read_entry, write_entry, write_spare
from harness.store.keys import hash_of
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


def test_a_file_is_plain_json_of_a_key_a_value_and_their_hash(tmp_path: Path) -> None:
    for value in (VALUE, None, {}, [1.5, "}"]):
        write_entry(tmp_path / "a.json", 'k"}', value)
        held = {"key": 'k"}', "value": value}
        written = (tmp_path / "a.json").read_text(encoding="ascii")
        assert written == json.dumps({"sha256": hash_of(held), **held})


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


def test_what_can_be_made_again_waits_for_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("harness.store.files.os.fsync", synced.append)
    write_spare(tmp_path / "a" / "b.json", "a/b", {"x": [1, "é\ud800"]})
    assert not synced
    write_entry(tmp_path / "a" / "c.json", "a/b", {"x": [1, "é\ud800"]})
    assert len(synced) == 1
    assert (tmp_path / "a" / "b.json").read_bytes() == (tmp_path / "a" / "c.json").read_bytes()
    assert read_entry(tmp_path / "a" / "b.json", "a/b") == {"x": [1, "é\ud800"]}
    assert [file.name for file in sorted((tmp_path / "a").iterdir())] == ["b.json", "c.json"]


def test_a_spare_entry_that_a_power_cut_tore_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    write_spare(file, "key", {"text": "yes"})
    whole = file.read_bytes()
    for cut in range(len(whole)):
        for torn in (whole[:cut], whole[:cut] + bytes(len(whole) - cut)):
            file.write_bytes(torn)
            with hearing() as heard:
                assert read_entry(file, "key") is None
            assert len(heard) == 1
