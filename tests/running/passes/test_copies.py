"""Copies of a document say nothing new: they are one cluster, however many there are."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.contract import Outcome, Record, Tokens
from harness.planning.planner import plan
from harness.results.replicates import group_of, groups_of
from harness.running.passes.run import run_pass_alone
from harness.running.passes.shards import Document, Told, _counted
from harness.running.session import Session

TASK = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
sites = ["resid_post.1", "embed"]
[metrics.mean]
pair = "p"
[metrics.gap]
pair = "p"
[metrics.loss]
pair = "p"
[metrics.match]
pair = "p"
"""
TEXTS = [f"{'word ' * (number % 5)}{number} and so on" for number in range(24)]
Measure = Callable[..., list[Record]]


@pytest.fixture
def measure(session: Callable[..., Session], tmp_path: Path) -> Measure:
    def measure(rows: list[dict[str, Any]], *overrides: str) -> list[Record]:
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        made = session(TASK, f"data.web.file={file}", *overrides)
        found: list[Outcome] = []
        (work,) = plan(made.task).passes
        run_pass_alone(made, work, lambda job, its: found.extend(its.outcomes), lambda done: None)
        return [record for outcome in found for record in outcome.records]

    return measure


def rows(texts: list[str], **more: Any) -> list[dict[str, Any]]:
    return [{"text": text, "of": "a", **more} for text in texts]


@pytest.mark.slow
@pytest.mark.parametrize("shard", [1, 30, 100_000])
@pytest.mark.parametrize("how", ["the same row", "another row with the same text"])
def test_three_of_each_have_the_interval_of_one_of_each(
    measure: Measure, how: str, shard: int
) -> None:
    """CASES row 12: sixteen copies counted as sixteen independent documents.

    Ratios and means of sums are the same over three copies of everything as over the data
    themselves, in every draw of documents, so their intervals are.
    """
    once = measure(rows(TEXTS))
    more = {} if how == "the same row" else {"of": "b"}
    copies = rows(TEXTS, **more) * 2
    random.Random(0).shuffle(copies)
    # Far from the first and right beside it, in other batches and in other shards.
    thrice = measure([*rows(TEXTS), *copies], f"batch.shard={shard}", "batch.activations=5")
    assert [one.id for one in thrice] == [one.id for one in once]
    for one, three in zip(once, thrice, strict=True):
        assert three.clusters == one.clusters == len(TEXTS)
        assert three.n == 3 * one.n
        assert three.value == pytest.approx(one.value, rel=1e-9)
        assert three.ci == pytest.approx(one.ci, rel=1e-9)


def test_copies_in_several_categories_count_in_each(measure: Measure) -> None:
    by = [*rows(TEXTS[:12]), *rows(TEXTS[:12], of="b"), *rows(TEXTS[:3], of="b")]
    assert {12} <= {one.clusters for one in measure(by, "data.web.by=of")} <= {12, 24}


def test_the_interval_is_no_narrower_for_copies(measure: Measure) -> None:
    """All the weight on few documents: the interval knows how few they are."""
    few = measure([*rows(TEXTS[:11]), *rows([TEXTS[0]] * 40, of="b")])
    assert {one.clusters for one in few} == {11}


def test_a_few_documents_however_often_have_no_interval(measure: Measure) -> None:
    found = measure([{"text": "a text", "of": number} for number in range(16)])
    assert {(one.clusters, one.ci) for one in found} == {(1, None)}
    assert all("1 documents" in (one.ci_why or "") for one in found if one.value is not None)


COUNTED = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
sites = ["resid_post.1"]
expect = "different"
[metrics.gap]
pair = "p"
where = { cosine_quantile = 0.5 }
"""


def test_thresholds_and_sentinels_count_different_documents(
    session: Callable[..., Session], tmp_path: Path
) -> None:
    """CASES row 12 with `cosine_quantile`: both counted every copy, and documents without a
    measured token. Five texts are there, and one that is a BOS alone."""
    file = tmp_path / "rows.jsonl"
    lines = rows([*TEXTS[:5], "^"]) + rows(TEXTS[:3], of="b")
    file.write_text("".join(json.dumps(row) + "\n" for row in lines))
    made = session(COUNTED, f"data.web.file={file}", "batch.shard=30")
    found: list[Outcome] = []
    planned = plan(made.task)
    for work in (planned.preflight, *planned.passes):
        run_pass_alone(made, work, lambda job, its: found.extend(its.outcomes), lambda done: None)
    counted = {record.id: record.clusters for one in found for record in one.records}
    assert counted["difference.relative@1"] == 5
    assert counted["cosine_threshold@1"] == 5
    assert counted["filtered_share@1"] == 5  # as before


def test_what_is_equal_has_the_same_ids_and_the_same_span() -> None:
    def document(example: str, ids: tuple[int, ...], span: tuple[int, int]) -> Document:
        return Document(Tokens(example, ids, span, ""), Tokens(example, (9, *ids), span, ""), "")

    seen = Told({}, {})
    given = [
        document("a", (1, 2), (0, 2)),
        document("b", (1, 2), (0, 2)),
        document("c", (1, 2), (1, 2)),
        document("d", (12,), (0, 2)),
        document("e", (1, 2), (0, 2)),
    ]
    found = [_counted(one, seen) for one in given]
    assert [(one.left.example, one.left.copies) for one in found] == [
        ("a", 0), ("a", 1), ("c", 0), ("d", 0), ("a", 2),
    ]  # fmt: skip
    assert found[0] is given[0]
    assert np.all([one.right is not None and one.right.copies == one.left.copies for one in found])


@pytest.mark.slow
def test_little_is_kept_of_a_document() -> None:
    """In documents of 128 tokens there are a hundred thousand of them in 10 million."""
    told, held = Told({}, {}), [0]
    tracemalloc.start()
    try:
        for number in range(20_000):
            name = f"{number:016x}"
            tokens = Tokens(name, (number, 1), (0, 2), "", 0)
            groups_of([_counted(Document(tokens, None, ""), told).left.example], 0)
            if number % 5000 == 4999:
                group_of.cache_clear()  # of so many documents at most, however many there are
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert (held[-1] - held[1]) / 15_000 < 200
