"""The tables of an earlier run, read when they are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import DataError
from harness.results import Results, load_results
from harness.results.tables import COMPLETIONS, SavedTables
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
