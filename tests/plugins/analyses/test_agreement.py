"""Agreement of two judges against plain formulas."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from harness.contract import Findings, Outcome, Record
from harness.results.intervals import wilson
from harness.testing import check_analysis
from harness_analyses import options
from harness_analyses.agreement import Agreement

LEFT = {"evaluator": "words", "score": "refusal"}
RIGHT = {"evaluator": "judge", "score": "safe"}


def made(**more: Any) -> Agreement:
    return Agreement(
        options.AgreementOptions.model_validate({"left": LEFT, "right": RIGHT, **more})
    )


def row(
    left: Any,
    right: Any,
    *,
    example: str = "e",
    experiment: str = "x",
    text: str = "t",
    **axes: Any,
) -> dict[str, Any]:
    verdicts = {"words": {"refusal": left}, "judge": {"safe": right, "note": "hm"}}
    return {
        "experiment": experiment, "direction": "none", **axes, "example": example,
        "text": text, "prompt": "p", "completion": text, "tokens": 1, "stopped": True,
        "verdicts": verdicts,
    }  # fmt: skip


def run(rows: list[dict[str, Any]], **more: Any) -> Outcome:
    return made(**more).run(Findings(tables={"completions": rows}, seed=3))


def pick(outcome: Outcome, id: str, experiment: str | None = None) -> Record:
    (found,) = [
        record
        for record in outcome.records
        if record.id == id and record.axes.get("experiment") == experiment
    ]
    return found


SHARE, KAPPA = "agreement.share@1", "agreement.kappa@1"


def kappa(pairs: list[tuple[bool, bool]]) -> float:
    """Cohen's, from the definition, class by class."""
    n = len(pairs)
    observed = sum(a == b for a, b in pairs) / n
    chance = math.fsum(
        sum(a == value for a, _ in pairs) / n * (sum(b == value for _, b in pairs) / n)
        for value in (True, False)
    )
    return (observed - chance) / (1 - chance)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_against_the_plain_formula(pairs: list[tuple[bool, bool]]) -> None:
    outcome = run([row(a, b, example=str(i)) for i, (a, b) in enumerate(pairs)])
    share, value = pick(outcome, SHARE), pick(outcome, KAPPA)
    assert share.value == pytest.approx(sum(a == b for a, b in pairs) / len(pairs), abs=1e-15)
    assert share.n == len(pairs) == value.n
    assert share.n_of == "completions"
    constant = any(len(set(side)) == 1 for side in zip(*pairs, strict=True))
    if constant:
        assert value.value is None
        assert value.undefined is not None
        assert "said the same of every completion" in value.undefined
    else:
        assert value.value == pytest.approx(kappa(pairs), abs=1e-12)
    differing = [(a, b) for a, b in pairs if a != b]
    table = outcome.tables["disagreements"]
    assert [(r["words.refusal"], r["judge.safe"]) for r in table] == differing


def test_a_textbook_case() -> None:
    """Cohen's example of Wikipedia: 20, 5, 10 and 15 of 50."""
    cells = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    outcome = run([row(a, b, example=str(i)) for i, (a, b) in enumerate(cells)])
    assert pick(outcome, SHARE).value == pytest.approx(0.7)
    assert pick(outcome, KAPPA).value == pytest.approx(0.4)
    assert pick(outcome, SHARE).null == {"kind": "chance", "value": pytest.approx(0.5)}
    ci = pick(outcome, KAPPA).ci
    assert ci is not None
    low, high = ci
    assert 0.05 < low < 0.25 < 0.55 < high < 0.75


def test_what_means_the_same_is_the_tasks_to_say() -> None:
    rows = [
        row(a, b, example=str(i)) for i, (a, b) in enumerate([(True, False)] * 3 + [(False, True)])
    ]
    assert pick(run(rows), SHARE).value == 0
    turned = run(rows, right={**RIGHT, "means": False})
    assert pick(turned, SHARE).value == 1
    assert pick(turned, KAPPA).value == 1
    assert not turned.tables["disagreements"]


def test_experiments_apart_and_together() -> None:
    rows = [row(True, True, experiment="a"), row(True, False, experiment="b"), row(False, False)]
    outcome = run(rows)
    shares = {name: pick(outcome, SHARE, name).value for name in (None, "a", "b", "x")}
    assert shares == {None: pytest.approx(2 / 3), "a": 1.0, "b": 0.0, "x": 1.0}
    some = run(rows, experiments=["b", "a"])
    assert pick(some, SHARE).value == 0.5
    assert {r.axes.get("experiment") for r in some.records} == {None, "a", "b"}
    assert pick(some, SHARE).options["experiments"] == ["b", "a"]


def test_experiments_that_one_judge_was_not_asked_about_are_left_out_unless_they_are_named() -> (
    None
):
    other = {**row(True, True, experiment="b"), "verdicts": {"words": {"refusal": True}}}
    rows = [row(True, True, experiment="a"), other]
    assert {r.axes.get("experiment") for r in run(rows).records} == {None, "a"}
    named = pick(run(rows, experiments=["a", "b"]), SHARE, "b")
    assert named.undefined == "judge judged none of these completions"


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_judge_that_always_says_the_same_has_no_kappa(side: str) -> None:
    pairs = [(True, value) if side == "left" else (value, True) for value in (True, False, True)]
    value = pick(run([row(*pair) for pair in pairs]), KAPPA)
    name = {"left": "words.refusal", "right": "judge.safe"}[side]
    assert value.undefined == f"{name} said the same of every completion"
    assert (value.value, value.ci, value.n) == (None, None, 3)


def test_completions_without_both_verdicts_are_left_out() -> None:
    rows = [row(True, True), row(None, True), row(True, None), row(None, None), row(False, False)]
    rows += [{**row(True, True), "verdicts": {"words": {"refusal": True}}}]
    rows += [{**row(True, True), "verdicts": {}}]
    assert pick(run(rows), SHARE).n == 2


@pytest.mark.parametrize(
    ("rows", "more", "why"),
    [
        ([], {}, "there are no completions"),
        ([row(True, True)], {"experiments": ["y"]}, "there are no completions"),
        ([row(True, None)], {}, "no completion has a verdict of both judges"),
        ([row(True, 0.5)], {}, "judge.safe is a number, not a yes or no"),
        ([row(True, True)], {"right": {"evaluator": "judge", "score": "saef"}},
         "judge has no score 'saef'; it has safe"),
        ([row(True, True)], {"right": {"evaluator": "nobody", "score": "safe"}},
         "nobody judged none of these completions"),
    ],
)  # fmt: skip
def test_nothing_to_compare_is_undefined_and_says_why(
    rows: list[dict[str, Any]], more: Mapping[str, Any], why: str
) -> None:
    outcome = run(rows, **more)
    for id in (SHARE, KAPPA):
        record = pick(outcome, id)
        assert (record.value, record.undefined, record.ci_why, record.n) == (None, why, why, 0)
    assert outcome.tables == {"disagreements": []}


# ── Intervals ────────────────────────────────────────────────────────────────────────────────────


def test_independent_completions_have_wilsons_interval() -> None:
    rows = [row(True, i % 5 > 0, example=str(i)) for i in range(100)]
    ci = pick(run(rows), SHARE).ci
    assert ci == pytest.approx(wilson(80, 100), abs=2e-3)


def test_arms_that_repeat_each_other_make_no_interval_narrower() -> None:
    """30 arms of which each says the same of a prompt are worth one."""
    once = [row(i % 2 == 0, i % 2 == 0 if i % 5 else i % 2 == 1, example=str(i)) for i in range(50)]
    often = [{**one, "k": k} for one in once for k in range(30)]
    for id in (SHARE, KAPPA):
        narrow, wide = pick(run(once), id), pick(run(often), id)
        assert narrow.value == pytest.approx(wide.value)
        assert narrow.ci == pytest.approx(wide.ci, abs=1e-9)
        assert (narrow.clusters, wide.clusters, wide.n) == (50, 50, 1500)


def test_copies_of_a_prompt_are_one_cluster() -> None:
    """CASES row 12: sixteen copies of one prompt under sixteen ids."""
    rows = [row(i % 2 == 0, i % 2 == 0, example=str(i)) for i in range(16)]
    copies = [rows[0], *({**one, "copy_of": "0"} for one in rows[1:])]
    for id in (SHARE, KAPPA):
        record = pick(run(copies), id)
        assert (record.n, record.clusters, record.ci) == (16, 1, None)
        assert record.ci_why


def test_all_agree() -> None:
    rows = [row(i % 2 == 0, i % 2 == 0, example=str(i), k=k) for i in range(20) for k in range(9)]
    share = pick(run(rows), SHARE)
    assert share.value == 1
    assert share.ci == pytest.approx(wilson(20, 20))
    assert pick(run(rows), KAPPA).value == 1


def test_few_prompts_have_no_interval_of_kappa() -> None:
    value = pick(run([row(a, b) for a, b in itertools.product([True, False], repeat=2)]), KAPPA)
    assert value.value == 0
    assert value.ci is None
    assert value.ci_why


# ── The table, laws, options ─────────────────────────────────────────────────────────────────────


def test_the_table_names_arms_in_words() -> None:
    rows = [row(True, False), row(True, False, k=8, draw=1), row(True, True)]
    table = run(rows).tables["disagreements"]
    assert [r["arm"] for r in table] == ["none", "none[k=8,draw=1]"]
    assert table[0].keys() == {
        "experiment", "arm", "example", "text", "completion", "words.refusal", "judge.safe"
    }  # fmt: skip


def test_the_laws_of_analyses() -> None:
    some = [(True, True), (True, False), (False, False), (None, True), (True, 0.5)]
    rows = [
        row(*some[(i * i) % 5], example=str(i % 20), experiment=f"x{i % 3}", text=f"{i}")
        for i in range(80)
    ]
    check_analysis(made(), Findings(tables={"completions": rows}, seed=1))
    check_analysis(made(), Findings())
    check_analysis(made(experiments=["x1", "none"]), Findings(tables={"completions": rows}))


class Wrong:
    """An analysis with one law broken."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.calls = 0

    def run(self, findings: Findings) -> Any:
        self.calls += 1
        rows = findings.tables.get("completions", ())
        record = Record("a.b@1", 1.0, 1, "x", "y", ci_why="z")
        match self.how:
            case "deterministic":
                return Outcome(tables={"t": [{"n": self.calls}]})
            case "findings are not changed":
                rows.append({})  # type: ignore[union-attr]
            case "the order of completions":
                first = float(rows[0]["tokens"]) if rows else 0.0
                return Outcome((Record("a.b@1", first, 1, "x", "y", ci_why="z"),))
            case "nothing found":
                return Outcome((Record("a.b@1", float(1 / len(rows)), 1, "x", "y", ci_why="z"),))
            case "hostile text":
                assert all(len(r["text"]) < 10**4 or 1 / 0 for r in rows)
            case "one record":
                return Outcome((record, record))
            case "a value or a reason":
                return Outcome((Record("a.b@1", None, 1, "x", "y", ci_why="z"),))
            case "a value is finite":
                return Outcome((Record("a.b@1", math.nan, 1, "x", "y", ci_why="z"),))
            case "an interval or a reason":
                return Outcome((Record("a.b@1", 1.0, 1, "x", "y"),))
            case "an interval is in order":
                return Outcome((Record("a.b@1", 1.0, 1, "x", "y", ci=(2.0, 1.0)),))
            case "an id is":
                return Outcome((Record("a.b", 1.0, 1, "x", "y", ci_why="z"),))
            case "the axis `analysis`":
                return Outcome((record.on(analysis="mine"),))
            case "tables have rows":
                return Outcome(tables={"t": [{"text": r["completion"]} for r in rows]})
            case "rows of a table":
                return Outcome(tables={"t": [{"a": 1}, {"b": 1}]})
            case "an analysis gives":
                return [record]
        return Outcome((record,))


@pytest.mark.parametrize(
    "law",
    ["deterministic", "findings are not changed", "the order of completions", "nothing found",
     "hostile text", "one record", "a value or a reason", "a value is finite",
     "an interval or a reason", "an interval is in order", "an id is", "the axis `analysis`",
     "tables have rows", "rows of a table", "an analysis gives"],
)  # fmt: skip
def test_laws_bite(law: str) -> None:
    rows = [{**row(True, True), "tokens": n} for n in range(20)]
    with pytest.raises(AssertionError, match=f"law broken: .*{law}"):
        check_analysis(Wrong(law), Findings(tables={"completions": rows}))


def test_nothing_is_wrong_with_nothing() -> None:
    rows = [row(True, True) for _ in range(20)]
    check_analysis(Wrong(""), Findings(tables={"completions": rows}))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"right": LEFT}, "a judge agrees with itself"),
        ({"experiments": []}, "at least 1"),
        ({"left": {"evaluator": "words"}}, "score"),
        ({"left": {**LEFT, "mean": True}}, "mean"),
    ],
)
def test_options_that_make_no_sense(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        made(**more)
