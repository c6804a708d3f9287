"""The tables of an earlier run, read when they are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import DataError
from harness.results import Results, load_results
from harness.results.tables import COMPLETIONS, SavedTables, without_damaged
from harness.results.write import write_results


def saved(folder: Path) -> SavedTables:
    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    write_results(folder, Results("complete", {}, {}, (), tables={"d.sums": rows}))
    (folder / "samples").mkdir()
    odd = "a\u2028b\x85c\x0b"
    for name in ("one", "two"):
        lines = [json.dumps({"example": n, "completion": odd}, ensure_ascii=False) for n in (0, 1)]
        (folder / "samples" / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return SavedTables(folder)


def test_tables_come_back(tmp_path: Path) -> None:
    tables = saved(tmp_path)
    assert list(tables) == [COMPLETIONS, "d.sums"]
    assert len(tables) == 2
    assert tables["d.sums"] == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    rows = tables[COMPLETIONS]
    assert [row["experiment"] for row in rows] == ["one", "one", "two", "two"]
    assert rows[0]["completion"] == "a\u2028b\x85c\x0b"
    assert load_results(tmp_path).tables[COMPLETIONS] == rows


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    tables = saved(tmp_path)
    for file in [*tmp_path.glob("samples/*"), *tmp_path.glob("tables/*")]:
        file.write_bytes(b"\xff broken")
    results = load_results(tmp_path)
    assert list(results.tables) == list(tables)
    for name in tables:
        with pytest.raises(DataError, match=str(tmp_path)):
            tables[name]


def test_a_folder_without_tables_has_none(tmp_path: Path) -> None:
    assert dict(SavedTables(tmp_path)) == {}
    with pytest.raises(KeyError):
        SavedTables(tmp_path)[COMPLETIONS]
    assert SavedTables(tmp_path).get("x", ()) == ()


@pytest.mark.parametrize("damaged", [(), ("d.sums",), ("one",), ("one", "two"), ("two", "d.sums")])
def test_what_can_be_read_is_there_without_the_rest(
    damaged: tuple[str, ...], tmp_path: Path
) -> None:
    saved(tmp_path)
    whole = {name: list(rows) for name, rows in load_results(tmp_path).tables.items()}
    for file in [*tmp_path.glob("samples/*"), *tmp_path.glob("tables/*")]:
        if file.stem in damaged:
            file.write_bytes(file.read_bytes()[:-9])
    found, lost = without_damaged(load_results(tmp_path))
    assert len(lost) == len(damaged)
    for name in damaged:
        assert sum(f"/{name}." in text for text in lost) == 1
    assert all("give the same `harness eval` again" in text for text in lost)
    rest = [row for row in whole[COMPLETIONS] if row["experiment"] not in damaged]
    expected = {} if "d.sums" in damaged else {"d.sums": whole["d.sums"]}
    assert dict(found.tables) == expected | ({COMPLETIONS: rest} if rest else {})


def test_tables_in_memory_are_as_they_are() -> None:
    results = Results("complete", {}, {}, (), tables={"a": [{"b": 1}]})
    assert without_damaged(results) == (results, ())
