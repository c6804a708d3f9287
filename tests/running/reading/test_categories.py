"""Categories of the data: each for itself, and all together as without any."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakes
from fakes.running import Found, bare, passed, records
from harness.contract import Record
from harness.errors import DataError
from harness.planning.steps import SentinelJob
from harness.results.read import Results, load_results
from harness.running.session import Session

MakeSession = Callable[..., Session]
KINDS = ("three", "one", "two", "one", "three")
ROWS = [
    {
        "text": f"{'ab^c|d'[n % 6 :]} text {n * n}",
        "kind": KINDS[n % 5],
        "number": n % 2,
        "lone": "x",
    }
    for n in range(17)
]
PAIR = """
[data.kinds]
file = "kinds.jsonl"
by = "kind"
[pairs.p]
left = "base"
right = "chat"
data = "kinds"
saes = ["mid"]
max_norm_ratio = 1.5
[metrics.gap]
pair = "p"
[metrics.loss]
pair = "p"
[metrics.low]
method = "match"
pair = "p"
where = { cosine_below = 0.997 }
[statistics.t]
method = "tally"
pair = "p"
sae = "mid"
offset = 5
sweep = { scale = [1, 3] }
[directions.d]
method = "probe"
view = "base"
data = "kinds"
"""


@pytest.fixture(autouse=True)
def kinds(tmp_path: Path) -> None:
    write(tmp_path / "kinds.jsonl", ROWS)


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def without(text: str = PAIR) -> str:
    return text.replace('by = "kind"\n', "")


def domains(found: list[Record]) -> Counter[Any]:
    return Counter(record.axes.get("domain") for record in found)


def test_the_rows_have_three_kinds() -> None:
    assert Counter(row["kind"] for row in ROWS).keys() == {"one", "two", "three"}


def test_all_together_is_what_there_is_without_categories(session: MakeSession) -> None:
    plain = bare(records(session(without())))
    found = bare(records(session(PAIR)))
    assert [record for record in found if "domain" not in record.axes] == plain
    kinds = domains(found)
    assert kinds.keys() == {None, "one", "two", "three"}
    # A direction is found of everything, never of a category.
    own = sum(record.id.startswith("probe") for record in plain)
    assert own == 1
    assert kinds["one"] == kinds["two"] == kinds["three"] == kinds[None] - own


@pytest.mark.parametrize("kind", ["one", "two", "three"])
def test_a_category_is_what_its_rows_are_alone(session: MakeSession, kind: str) -> None:
    found = [r for r in bare(records(session(PAIR))) if r.axes.get("domain") == kind]
    only = without() + f"[data.kinds.where]\nkind = '{kind}'\n"
    alone = [r for r in bare(records(session(only))) if not r.id.startswith("probe")]
    assert len(found) == len(alone) > 5
    for mine, theirs in zip(found, alone, strict=True):
        assert mine.value == pytest.approx(theirs.value, rel=1e-12)
        assert (mine.id, mine.n, mine.clusters) == (theirs.id, theirs.n, theirs.clusters)
        assert mine.axes == {**theirs.axes, "domain": kind}


def test_categories_add_up_to_the_whole(session: MakeSession) -> None:
    found = [r for r in records(session(PAIR)) if not r.id.startswith(("probe", "tally"))]
    groups: dict[Any, list[Record]] = {}
    for record in found:
        rest = tuple(sorted((k, str(v)) for k, v in record.axes.items() if k != "domain"))
        groups.setdefault((record.id, rest, str(record.options)), []).append(record)
    assert groups
    for members in groups.values():
        (whole,) = [r for r in members if "domain" not in r.axes]
        parts = [r for r in members if "domain" in r.axes]
        assert len(parts) == 3
        assert sum(r.n for r in parts) == whole.n
        mean = sum((r.value or 0.0) * r.n for r in parts) / whole.n
        assert whole.value == pytest.approx(mean, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("batch.activations=1",),
        ("batch.activations=3", "batch.shard=30"),
        ("batch.shard=1",),
        ("models.chat.padding=left",),
    ],
)
def test_no_number_depends_on_batches_or_shards(
    session: MakeSession, overrides: tuple[str, ...]
) -> None:
    assert bare(records(session(PAIR, *overrides))) == bare(records(session(PAIR)))


@pytest.mark.slow
def test_nor_on_the_order_of_the_rows(session: MakeSession, tmp_path: Path) -> None:
    one = bare(records(session(PAIR, "batch.shard=30")))
    write(tmp_path / "kinds.jsonl", ROWS[::-1])
    assert bare(records(session(PAIR, "batch.shard=30"))) == one


def test_a_batch_is_of_one_category(session: MakeSession) -> None:
    passed(session(PAIR))
    kinds = {e.id: e.fields["kind"] for e in session(PAIR).data.examples("kinds")}
    assert fakes.LAB.batches
    for _, batch in fakes.LAB.batches:
        assert len({kinds[document] for document in batch.documents}) == 1


def test_numbers_and_one_kind_are_categories_too(session: MakeSession) -> None:
    assert domains(records(session(PAIR, "data.kinds.by=number"))).keys() == {None, "0", "1"}
    assert domains(records(session(PAIR, "data.kinds.by=lone"))).keys() == {None, "x"}


def test_the_sentinel_looks_at_everything_at_once(session: MakeSession) -> None:
    made = session(
        PAIR.replace('data = "kinds"\nsaes', 'data = "kinds"\nexpect = "different"\nsaes')
    )
    found = [one for one in passed(made, -1) if isinstance(one.job, SentinelJob)]
    assert [one.domain for one in found] == [None]
    assert found[0].outcome.records[0].clusters == len(ROWS)


def test_arrays_are_kept_for_each_category_and_variant(session: MakeSession) -> None:
    made = session(PAIR)
    passed(made)
    axes = [(one.axes.get("scale"), one.axes.get("domain")) for one in made.directions.arrays]
    kinds = ["one", "three", "two", None]
    assert sorted(axes, key=str) == sorted(((s, k) for s in (1, 3) for k in kinds), key=str)
    by_kind = {
        one.axes.get("domain"): one.values
        for one in made.directions.arrays
        if one.axes["scale"] == 1
    }
    parts = [by_kind[kind]["counts"] for kind in kinds[:3]]
    assert np.array_equal(sum(parts), by_kind[None]["counts"])


def test_a_row_without_the_column_is_named(
    problems: Callable[..., list[str]], tmp_path: Path
) -> None:
    write(tmp_path / "kinds.jsonl", [*ROWS[:3], {"text": "bare", "kin": "one"}])
    (said,) = problems(PAIR)
    assert "row 4" in said
    assert "no column 'kind', which `by` names. It has: kin, text. Did you mean kin?" in said


def test_the_column_may_be_missing_where_only_reading_tells(
    session: MakeSession, tmp_path: Path
) -> None:
    made = session(PAIR)
    write(tmp_path / "kinds.jsonl", [{"text": "bare"}])
    with pytest.raises(DataError, match="which `by` names"):
        passed(made)


def test_a_statistic_of_data_with_and_without_categories(session: MakeSession) -> None:
    """What has no category is in the whole, and is no category of its own."""
    text = without().partition("[pairs.p]")[0].replace('jsonl"\n', 'jsonl"\nby = "kind"\n')
    text += "[statistics.t]\nmethod = 'tally'\nview = 'base'\ndata = 'kinds'\nmore = 'web'\n"
    text += "site = 'embed'\n"
    found: list[Found] = passed(session(text))
    assert [one.domain for one in found] == ["one", "three", "two", None]
    whole = found[-1].outcome.records[0]
    assert whole.n == sum(one.outcome.records[0].n for one in found[:-1]) + whole.axes["more"]


def test_rows_without_a_value_are_in_the_whole_alone(session: MakeSession, tmp_path: Path) -> None:
    write(tmp_path / "kinds.jsonl", [*ROWS, {"text": "blank as in csv", "kind": ""}])
    found = [r for r in records(session(PAIR)) if r.id == "gap.mean@1"]
    assert domains(found).keys() == {None, "one", "two", "three"}
    assert found[-1].clusters == len(ROWS) + 1


def test_a_whole_run_files_everything_under_its_category(
    run_task: Callable[..., Results], tmp_path: Path
) -> None:
    results = run_task(PAIR)
    whole = [r for r in results.records if r.id == "gap.mean@1" and "domain" not in r.axes]
    assert len(whole) == 1
    rows = results.tables["t.features"]
    assert {row.get("domain") for row in rows} == {"one", "two", "three", None}
    loaded = load_results(tmp_path / "run")
    assert loaded.records == results.records
    read = loaded.tables["t.features"]
    assert Counter(row["domain"] for row in read) == Counter(row.get("domain") for row in rows)
    assert len(list((tmp_path / "run" / "arrays").iterdir())) == 8


@pytest.mark.parametrize("pack", [3, 40])
def test_documents_are_packed_with_those_of_their_category(session: MakeSession, pack: int) -> None:
    more = ("models.base.positional=false", "models.chat.positional=false")
    plain = bare(records(session(PAIR, *more)))
    packed = PAIR.replace("[pairs.p]\n", f"[pairs.p]\npack = {pack}\n")
    assert bare(records(session(packed, *more))) == plain


@pytest.mark.slow
def test_a_category_may_be_called_anything(
    run_task: Callable[..., Results], tmp_path: Path
) -> None:
    odd = ["../../up", "a\nb", "é" * 300, "[x=1]", "None", "domain", "."]
    rows = [{"text": f"some text {n}", "kind": kind} for n, kind in enumerate(odd)]
    write(tmp_path / "kinds.jsonl", rows)
    results = run_task(PAIR, "batch.shard=5")
    gaps = [r for r in results.records if r.id == "gap.mean@1"]
    assert {r.axes.get("domain") for r in gaps} == {None, *odd}
    files = list((tmp_path / "run" / "arrays").iterdir())
    assert len(files) == 2 * (1 + len(odd))
    assert numbers(run_task(PAIR, "batch.shard=5")) == numbers(results)


def numbers(results: Results) -> list[tuple[str, float | None]]:
    return [(record.id, record.value) for record in results.records]
