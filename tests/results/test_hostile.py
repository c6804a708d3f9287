"""Small files that are nested too deeply, or hold numbers that are none: one of our errors each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError
from harness.planning.cost.earlier import earlier_completions
from harness.results.read import load_results
from harness.results.samples import load_samples
from harness.results.tables import COMPLETIONS, SavedTables
from harness.results.write import SCHEMA
from harness.task.data import load_data
from harness.task.data_spec import DataSpec
from harness_analyses.clusters.taxonomy import taxonomy

NESTED = {n: "[" * n + "]" * n for n in (900, 100_000)}
HOSTILE = [*NESTED.values(), "1e999", "9" * 5000, "9" * 4000, "NaN"]
Said = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
@pytest.mark.parametrize("deep", NESTED)
@pytest.mark.parametrize("column", ["more", "text", "calls"])
def test_rows_of_data(tmp_path: Path, ending: str, deep: int, column: str) -> None:
    """CASES row 23, its kind: a row nested 900 deep is read by json, and was too deep for us.

    How deep Python itself can go depends on its version: 3.13 reads 900 whole.
    """
    row = {"text": "a", column: "@"}
    if column == "calls":
        row = {"text": [{"role": "user", "content": "a", "tool_calls": "@"}]}  # type: ignore[dict-item]
    text = json.dumps(row).replace('"@"', NESTED[deep])
    file = tmp_path / f"rows{ending}"
    file.write_text(text if ending == ".jsonl" else f"[{text}]")
    refused = ""
    try:
        assert len(load_data("x", DataSpec(file=str(file)), tmp_path)) == 1
    except DataError as error:
        refused = str(error)
    assert "rows" in refused or (deep == 900 and not refused)


@pytest.mark.parametrize("place", ["value", "n", "options", "task", "schema"])
@pytest.mark.parametrize("what", HOSTILE)
def test_results_of_a_run(said: Said, tmp_path: Path, place: str, what: str) -> None:
    """Its kind: an infinite value, or n of 4,000 digits, was read and broke what came after."""
    record: dict[str, Any] = {"id": "a.b@1", "value": 1.0, "n": 1, "n_of": "x", "unit": "share"}
    results: dict[str, Any] = {"schema": SCHEMA, "status": "complete", "task": {}, "records": []}
    results |= {"provenance": {}, "records": [record | {"options": {}}]}
    inside = results["records"][0] if place in ("value", "n") else results
    inside[place if place in inside else "task"] = "@" if place != "task" else {"x": "@"}
    (tmp_path / "results.json").write_text(json.dumps(results).replace('"@"', what))
    with pytest.raises(DataError, match=r"results\.json"):
        load_results(tmp_path)
    code, _, err = said("report", tmp_path)
    assert code == 2
    assert "Traceback" not in err


@pytest.mark.parametrize("what", HOSTILE[1:])
def test_completions_of_a_run(tmp_path: Path, what: str) -> None:
    (tmp_path / "samples").mkdir()
    row = {"example": "e", "completion": "c", "tokens": "@", "verdicts": {"j": {"s": "@"}}}
    (tmp_path / "samples" / "e.jsonl").write_text(json.dumps(row).replace('"@"', what) + "\n")
    with pytest.raises(DataError, match=r"e\.jsonl: is not the samples"):
        load_samples(tmp_path)
    with pytest.raises(DataError, match=r"e\.jsonl: is not the completions"):
        SavedTables(tmp_path)[COMPLETIONS]
    earlier_completions(tmp_path)  # a plan goes on without what it cannot read


@pytest.mark.parametrize("what", NESTED.values())
def test_taxonomies(tmp_path: Path, what: str) -> None:
    for name, text in (("t.json", f'{{"clusters": {what}}}'), ("t.toml", f"clusters = {what}")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=name):
            taxonomy(str(tmp_path / name))


@pytest.mark.parametrize("text", ["x = " + NESTED[100_000], "x = " + "9" * 5000, "[" * 5000])
def test_task_files(said: Said, tmp_path: Path, text: str) -> None:
    (tmp_path / "t.toml").write_text(f'name = "t"\n{text}\n')
    code, _, err = said("check", tmp_path / "t.toml")
    assert code == 2
    assert "Traceback" not in err
