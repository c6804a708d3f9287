"""Completions are exported only with the results that were made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Record
from harness.errors import DataError
from harness.export.belonging import OwnTables, not_of
from harness.results.read import load_results
from harness.results.samples import Samples
from harness.testing import small_run

Row = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("own") / "run").folder


def _rows(folder: Path) -> list[Row]:
    lines = (folder / "samples" / "bypass.jsonl").read_text().splitlines()
    return [{**json.loads(line), "experiment": "bypass"} for line in lines]


def test_a_runs_own_completions_are_its_own(folder: Path) -> None:
    results = load_results(folder)
    assert not_of(results, _rows(folder)) == ""
    assert not_of(results, _rows(folder)[::-1]) == ""
    assert OwnTables(results, folder)["completions"] == results.tables["completions"]


def _cut(rows: list[Row]) -> list[Row]:
    return rows[:-1]


def _without_an_arm(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["direction"] == "none"]


def _other_verdict(rows: list[Row]) -> list[Row]:
    first = {**rows[0], "verdicts": {"substrings": {"refusal": False}}}
    return [first, *rows[1:]]


def _other_arm(rows: list[Row]) -> list[Row]:
    return [*rows, {**rows[0], "direction": "another\x1b[31m"}]


def _swept(rows: list[Row]) -> list[Row]:
    return [{**row, "k": 8} if row["direction"] == "refusal" else row for row in rows]


def _other_experiment(rows: list[Row]) -> list[Row]:
    return [*rows, {**rows[0], "experiment": "induce"}]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_cut, "'bypass': its verdicts of 'direction = refusal' do not give refusal_score@1 (n ="),
        (_without_an_arm, "its verdicts of 'direction = refusal' do not give"),
        (_other_verdict, "its verdicts of 'direction = none' do not give"),
        (_other_arm, "the results know nothing of the arm 'direction = another␛"),
        (_swept, "the results know nothing of the arm 'direction = refusal, k = 8'"),
        (_other_experiment, "it has completions of 'induce', which the results do not know"),
    ],
    ids=lambda one: one.__name__.strip("_") if callable(one) else "",
)
def test_those_of_another_run_are_not(
    folder: Path, change: Callable[[list[Row]], list[Row]], why: str
) -> None:
    assert why in not_of(load_results(folder), change(_rows(folder)))


def test_whoever_asks_for_them_is_told(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run").folder
    file = run / "samples" / "bypass.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    tables = OwnTables(load_results(run), run)
    assert list(tables) == list(load_results(run).tables)
    with pytest.raises(DataError, match=r"samples: is not what results\.json was made of: .*Put"):
        tables["completions"]
    assert tables["shift.features"]


def test_an_arm_may_have_the_axes_of_another_and_more() -> None:
    """Three components one by one, and together: the latter is the arm without the axis."""
    rows = [
        {"example": str(i), "direction": "pcs", **more, "verdicts": {"judge": {"yes": yes}}}
        for more, answers in (({"pc": 1}, (True, False)), ({}, (True, True)))
        for i, yes in enumerate(answers)
    ]
    samples = Samples({"inject": rows})
    at = {"experiment": "inject", "view": "chat", "data": "d", "evaluator": "judge"}

    def named(value: float, n: int, **axes: object) -> set[str]:
        record = Record("yes@1", value, n, "prompts", "share", axes={**at, **axes})  # type: ignore[arg-type]
        return set(samples.scores(record))

    assert named(1.0, 2, direction="pcs") == {"yes"}
    assert named(0.5, 2, direction="pcs", pc=1) == {"yes"}
    assert named(0.75, 4, direction="pcs") == set()
    assert named(0.75, 4) == {"yes"}
