"""Data are read as they are needed: lazily, in pieces, as streams."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fakes
from fakes.files import JSONL, parquet, texts
from harness.errors import DataError
from harness.task.data import load_data, read_data
from harness.task.data_spec import DataSpec
from harness.task.prompts import CHUNK, LONG

Load = Callable[..., list[Any]]

# ── Lazily ───────────────────────────────────────────────────────────────────────────────────────

MANY = 100_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A jsonl file of a hundred thousand rows, 12 MB."""
    file = tmp_path_factory.mktemp("large") / "large.jsonl"
    rows = (f'{{"text": "row {n} {"x" * 80}", "kind": "{n % 2}", "n": {n}}}\n' for n in range(MANY))
    file.write_text("".join(rows), encoding="utf-8")
    return file


def peak(work: Callable[[], object]) -> int:
    """Bytes that Python held at most while it worked."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many lines were parsed."""
    lines = [0]
    loads = json.loads

    def counted(text: str) -> Any:
        lines[0] += 1
        return loads(text)

    monkeypatch.setattr("harness.task.data.json.loads", counted)
    return lines


@pytest.mark.parametrize(
    ("more", "most"),
    [
        ({"limit": 5}, 6),
        ({"at_most": 5}, 6),
        ({"limit": 5, "skip": 10}, 16),
        ({"limit": 5, "where": {"kind": "1"}}, 12),
    ],
)
def test_no_more_lines_are_read_than_rows_are_wanted(
    large: Path, counted: list[int], more: dict[str, Any], most: int
) -> None:
    found = load_data("d", DataSpec(file=str(large), **more), large.parent)
    assert len(found) == 5
    assert counted[0] <= most


def test_rows_come_one_at_a_time(large: Path, counted: list[int]) -> None:
    rows = read_data("d", DataSpec(file=str(large)), large.parent)
    assert counted[0] == 0
    for number in range(1, 4):
        next(rows)
        assert counted[0] <= number + 1


@pytest.mark.slow
def test_reading_a_large_file_holds_none_of_it(large: Path) -> None:
    spec = DataSpec(file=str(large), by="kind", limit=9000)

    def through() -> None:
        assert sum(1 for _ in read_data("d", spec, large.parent)) == 9000

    assert peak(through) < 2**20


LARGE_PAIR = """
[data.large]
file = "{file}"
limit = 4000
[pairs.p]
left = "base"
right = "chat"
data = "large"
sites = ["embed"]
[metrics.gap]
pair = "p"
"""


@pytest.mark.slow
def test_checking_a_task_holds_no_file(task: Callable[..., Any], large: Path) -> None:
    text = LARGE_PAIR.replace("{file}", str(large)).replace("limit = 4000", "limit = 9000")
    assert peak(lambda: task(text)) < 2 * 2**20


def test_a_pass_holds_some_rows_at_a_time(session: Callable[..., Any], large: Path) -> None:
    made = session(LARGE_PAIR.replace("{file}", str(large)), "data.large.limit=1000")
    held = [len(chunk) for chunk in made.data.chunks("large")]
    assert sum(held) == 1000
    assert max(held) <= CHUNK
    assert "large" not in made.data._held


@pytest.mark.slow
@pytest.mark.parametrize("length", [10, LONG // 100, LONG // 3, 2 * LONG])
def test_long_rows_are_held_in_smaller_numbers(
    session: Callable[..., Any], tmp_path: Path, length: int
) -> None:
    rows = [f"{n} {'x' * length}" for n in range(2 * CHUNK + 7 if length == 10 else 30)]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in rows))
    text = LARGE_PAIR.replace("{file}", str(tmp_path / "long.jsonl"))
    made = session(text, f"data.large.limit={len(rows)}")
    chunks = list(made.data.chunks("large"))
    assert [row.text for chunk in chunks for row in chunk] == rows
    for chunk in chunks:
        assert len(chunk) <= CHUNK
        assert sum(len(row.text) for row in chunk[:-1]) < LONG
    together = [one + other[:1] for one, other in itertools.pairwise(chunks)]
    assert all(len(c) > CHUNK or sum(len(r.text) for r in c[:-1]) >= LONG for c in together)


def test_rows_that_are_read_to_their_end_have_a_digest(
    session: Callable[..., Any], large: Path, tmp_path: Path
) -> None:
    text = LARGE_PAIR.replace("{file}", str(large))
    streamed = session(text, "data.large.limit=1000")
    list(streamed.data.chunks("large"))
    whole = session(text, "data.large.limit=1000")
    whole.data.examples("large")
    assert streamed.data.digests() == whole.data.digests()
    part = session(text, "data.large.limit=1000")
    next(part.data.chunks("large"))
    assert "large" not in part.data.digests()


@pytest.mark.parametrize("limit", [None, 1, 3, 256, 257, 999])
def test_chunks_are_the_rows_in_order(
    session: Callable[..., Any], large: Path, limit: int | None
) -> None:
    made = session(LARGE_PAIR.replace("{file}", str(large)), "data.large.limit=700")
    rows = [row for chunk in made.data.chunks("large", limit) for row in chunk]
    assert [row.fields["n"] for row in rows] == list(range(min(700, limit or 700)))


@pytest.mark.parametrize(
    ("overrides", "limit", "count"),
    [
        ((), None, 4000),
        ((), 64, 64),
        (("data.large.at_most=10",), None, 10),
        (("data.large.at_most=9999",), None, 4000),
        (("data.large.at_most=10",), 64, 10),
    ],
)
def test_those_who_wait_are_told_how_many_rows_there_are(
    session: Callable[..., Any],
    large: Path,
    overrides: tuple[str, ...],
    limit: int | None,
    count: int,
) -> None:
    made = session(LARGE_PAIR.replace("{file}", str(large)), *overrides)
    assert made.data.count("large", limit) == count


def test_an_sae_that_is_scaled_reads_no_more_than_the_preflight(
    session: Callable[..., Any], large: Path, counted: list[int]
) -> None:
    """Its scale comes from as many rows as the preflight reads, however many there are."""
    text = LARGE_PAIR.replace("{file}", str(large)) + "[saes.open]\nformat = 'scaled'\n"
    text += "model = 'base'\nsite = 'resid_post.2'\n"
    text += "[preflight]\ndata = 'large'\nfvu = 'loss'\nalso = []\nlimit = 5\n"
    made = session(text)
    before = counted[0]
    sae = made.sae("open")
    assert counted[0] - before <= 300
    (x,) = fakes.LAB.calibrated
    texts = [example.text for example in made.data.examples("large")[:5]]
    assert len(x) == sum(map(len, texts))
    assert sae.notes == (f"scaled on {len(x)} tokens",)
    assert made.sae("open") is sae
    assert len(fakes.LAB.calibrated) == 1


def test_an_sae_is_not_scaled_without_a_preflight(session: Callable[..., Any]) -> None:
    made = session("[saes.open]\nformat = 'scaled'\nmodel = 'base'\nsite = 'resid_post.2'\n")
    assert made.sae("open").notes == ()
    assert not fakes.LAB.calibrated


# ── Files, in pieces ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [1, 1023, 1024, 1025, 3000])
def test_parquet_is_read_in_batches_without_a_seam(load: Load, count: int) -> None:
    rows = [{"text": f"row {n}", "turn": {"deep": n}} for n in range(count)]
    found = load(parquet(rows), "d.parquet")
    assert texts(found) == [row["text"] for row in rows]
    assert found[-1].fields["turn"] == {"deep": count - 1}


def test_no_more_of_a_parquet_file_is_read_than_is_wanted(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow.parquet import ParquetFile

    read = [0]
    iter_batches = ParquetFile.iter_batches

    def counted(file: Any, size: int) -> Iterator[Any]:
        for batch in iter_batches(file, size):
            read[0] += len(batch)
            yield batch

    monkeypatch.setattr(ParquetFile, "iter_batches", counted)
    content = parquet([{"text": f"row {n}"} for n in range(5000)])
    assert len(load(content, "d.parquet", limit=3)) == 3
    assert read[0] <= 1024


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("one\ntwo\n\nthree", ["one\ntwo", "three"]),
        ("\n\none\n\n\n\ntwo\n\n", ["one", "two"]),
        ("one\r\n\r\ntwo\r\nmore", ["one", "two\nmore"]),
        ("  one  \n\n\n  two", ["one", "two"]),
        ("one", ["one"]),
        ("one\u2028still one\x0bstill\n\ntwo", ["one\u2028still one\x0bstill", "two"]),
        ("one\n \ntwo", ["one\n \ntwo"]),
    ],
)
def test_paragraphs_are_separated_by_empty_lines(
    load: Load, content: str, expected: list[str]
) -> None:
    assert texts(load(content.encode(), "d.txt")) == expected


def test_a_line_of_jsonl_may_hold_any_character(load: Load) -> None:
    odd = "a\u2028b\u2029c\x85d\x0be\x1cf"
    content = "\n".join(json.dumps({"text": odd}, ensure_ascii=False) for _ in range(2))
    assert texts(load(content)) == [odd, odd]


def test_skipped_rows_are_those_after_filters_and_shuffles(load: Load) -> None:
    first = texts(load(JSONL, shuffle=3, limit=4))
    rest = texts(load(JSONL, shuffle=3, skip=4))
    assert [*first, *rest] == texts(load(JSONL, shuffle=3))
    assert texts(load(JSONL, where={"label": 1}, skip=3)) == ["row 7", "row 9"]
    with pytest.raises(DataError, match="gives no rows"):
        load(JSONL, skip=10)


@pytest.mark.parametrize("name", ["d.jsonl", "d.csv", "d.parquet"])
def test_the_column_of_categories_must_be_there(load: Load, name: str) -> None:
    rows = [{"text": "a", "kind": "x"}]
    content = {
        "d.jsonl": json.dumps(rows[0]),
        "d.csv": "text,kind\na,x\n",
        "d.parquet": parquet(rows),
    }[name]
    assert load(content, name, by="kind")[0].fields["kind"] == "x"
    with pytest.raises(DataError, match=r"row 1 .* no column 'knd', which `by` names.*mean kind"):
        load(content, name, by="knd")
