"""Runs from folders: what does not count is said in a line, and the rest goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.contract import Record, Results
from harness.errors import DataError
from harness.several import gather, load_runs

Make = Callable[..., Results]
Made = Callable[..., Record]
Write = Callable[..., Path]


@pytest.fixture
def two(write: Write, run: Make, record: Made) -> list[Path]:
    return [write(name, run([record("x", n)], name)) for n, name in enumerate(("a", "b"))]


def test_sound_runs_need_no_words(two: list[Path]) -> None:
    found = gather(two)
    assert found.notes == ()
    assert found.left_out == ()
    assert [variant.label for variant in found.runs.variants] == ["a", "b"]
    assert found.runs.numbers[0].median == 0.5
    assert gather(two[::-1]) == found


def test_what_is_no_run_is_said_in_a_line_and_the_rest_goes_on(
    two: list[Path], tmp_path: Path
) -> None:
    half = tmp_path / "half"
    half.mkdir()
    (half / ".task").write_text("0" * 64)
    for name, text in (("old", '{"schema": 2}'), ("list", "[1]"), ("text", "hello"), ("none", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)
    bad = [half, *(tmp_path / name for name in ("old", "list", "text", "none")),
           tmp_path / "nowhere", two[0] / "results.json"]  # fmt: skip
    found = gather([*two, *bad])
    assert found.runs == gather(two).runs
    assert len(found.notes) == len(bad)
    assert all("\n" not in note for note in found.notes)
    for folder in bad:
        assert sum(note.startswith(f"{folder}") for note in found.notes) == 1
    assert any("schema 2, this version reads 1" in note for note in found.notes)
    assert any(f"{half}: this run has not ended" in note for note in found.notes)
    assert any("it holds no object" in note for note in found.notes)


def test_a_run_that_is_given_twice_counts_once_and_is_said(two: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(two[0])
    copy = tmp_path / "copy"
    shutil.copytree(two[1], copy)
    found = gather([*two, two[0], link, copy])
    assert [len(variant.runs) for variant in found.runs.variants] == [1, 1]
    assert found.runs.numbers[0].median == 0.5
    assert len(found.notes) == 3
    assert f"{two[0]}: is given twice. It counts once." in found.notes
    assert f"{link}: is the same folder as {two[0]}. It counts once." in found.notes
    assert any("is the same task with the same models and seed as" in note for note in found.notes)
    assert gather([copy, link, *two[::-1], two[0]]).runs.numbers == found.runs.numbers


def test_an_invalid_run_does_not_count(two: list[Path], write: Write, run: Make) -> None:
    bad = write("bad", run(model="bad", status="invalid", problems=("no adapter",)))
    found = gather([*two, bad])
    assert [variant.label for variant in found.runs.variants] == ["a", "b"]
    assert [name for name, _ in found.left_out] == [str(bad)]
    (said,) = found.notes
    assert said == f"{bad}: the run is invalid, so its numbers do not count: no adapter"


def test_nothing_left_is_an_error_with_every_reason(write: Write, run: Make) -> None:
    bad = write("bad", run(status="invalid"))
    with pytest.raises(DataError) as caught:
        gather([bad, "/nowhere"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[-1] == "None of these folders holds a complete run."


def test_numbers_that_were_made_otherwise_are_said(write: Write, run: Make, record: Made) -> None:
    one = write("one", run([record("x", 1.0)], "a"))
    two = write("two", run([record("x", 3.0)], "b"))
    content = json.loads((two / "results.json").read_text())
    content["records"][0]["id"] = "x@2"
    (two / "results.json").write_text(json.dumps(content))
    found = gather([one, two])
    assert [number.median for number in found.runs.numbers] == [1.0, 3.0]
    assert found.notes[0].startswith("x: runs computed these with other versions or options.")


def test_completions_are_not_read(two: list[Path]) -> None:
    """A run may hold gigabytes of them: a page of numbers has no use for any."""
    (two[0] / "samples").mkdir()
    (two[0] / "samples" / "e.jsonl").write_text("this is no JSON")
    (two[0] / "tables").mkdir(exist_ok=True)
    (two[0] / "tables" / "t.parquet").write_text("this is no table")
    assert gather(two).notes == ()


def test_from_python(two: list[Path]) -> None:
    frame = load_runs(*two).frame
    assert list(frame["variant"]) == ["a", "b"]
    assert list(frame["run"]) == [str(folder) for folder in two]
    assert list(frame["value"]) == [0, 1]
