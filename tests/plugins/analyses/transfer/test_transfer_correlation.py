"""Correlations of forecast and outcome against scipy and enumeration; bad and missing domains."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from scipy import stats
from sklearn.linear_model import Ridge

from fakes.reductions import pick
from harness.contract import Arrays, Findings, Outcome, Record
from harness.errors import DataError
from harness.results.correlation import permutation_p
from harness.testing import check_analysis
from harness_analyses.transfer import ridge_probe
from harness_analyses.transfer.accuracy_change import _interval, _tested, newcombe
from harness_analyses.transfer.correlation import (
    bootstrap,
    extremes,
    leave_one_out,
    with_change,
)
from harness_analyses.transfer.mixture_advice import MixtureAdvice
from harness_analyses.transfer.options import (
    MixtureAdviceOptions as Mixture,
    TransferCorrelationOptions as Given,
)
from harness_analyses.transfer.transfer_correlation import TransferCorrelation

# The paper's Qwen2.5-7B: change of accuracy in points (its appendix A).
PAPER = {
    "engineering": -9.8, "chemistry": -6.36, "physics": -5.24, "computer science": -4.88,
    "business": -4.43, "health": -2.93, "math": -2.89, "economics": -2.61, "philosophy": -2.4,
    "biology": 1.53, "other": -1.3, "psychology": -0.37, "history": 0.26, "law": -0.19,
}  # fmt: skip


def accuracy(experiment: str, domain: str, value: float | None, **axes: Any) -> Record:
    at = {"experiment": experiment, "direction": "none", "evaluator": "mmlu", "task": "mmlu_pro"}
    why = None if value is not None else "nothing was asked"
    return Record(
        "accuracy@1", value, 100, "questions", "share", {"metric": "m"}, undefined=why, ci_why=why,
        axes={**at, "domain": domain, **axes},
    )  # fmt: skip


def forecast(domain: str, value: float | None, id: str = "sts.act", **axes: Any) -> Record:
    return Record(
        f"{id}@1", value, 9, "tokens", "activation", undefined=None if value is not None else "so",
        axes={"analysis": "sts", "domain": domain, **axes},
    )  # fmt: skip


def findings(changes: dict[str, float], scores: dict[str, float]) -> Findings:
    records = [accuracy("before", name.replace(" ", "_"), 0.5) for name in changes]
    records += [
        accuracy("after", name.replace(" ", "_"), 0.5 + points / 100)
        for name, points in changes.items()
    ]
    return Findings((*records, *(forecast(name, value) for name, value in scores.items())))


def scores(seed: int = 0) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {name: abs(points) + rng.normal(0, 2) for name, points in PAPER.items()}


def run(found: Findings, **more: Any) -> Outcome:
    options = {
        "sts": "sts", "before": {"experiment": "before"}, "after": {"experiment": "after"},
        "permutations": 499, "draws": 200, **more,
    }  # fmt: skip
    return TransferCorrelation(Given.model_validate(options)).run(found)


def one(outcome: Outcome, id: str, **axes: Any) -> Record:
    return pick(outcome, f"{id}@1", **axes)


# ── Numbers ──────────────────────────────────────────────────────────────────────────────────────


def test_coefficients_are_scipys() -> None:
    outcome = run(findings(PAPER, scores()))
    x = np.array(list(scores().values()))
    y = np.abs(list(PAPER.values()))
    for domains, rows in (("all", np.arange(14)), ("extremes", extremes(y, 4))):
        pearson = one(outcome, "sts.correlation.pearson", domains=domains)
        assert pearson.value == pytest.approx(stats.pearsonr(x[rows], y[rows])[0], rel=1e-9)
        assert pearson.n == len(rows)
        spearman = one(outcome, "sts.correlation.spearman", domains=domains).value
        assert spearman == pytest.approx(stats.spearmanr(x[rows], y[rows])[0], rel=1e-9)
        line = stats.linregress(x[rows], y[rows])
        r2 = one(outcome, "sts.correlation.r2", domains=domains).value
        residual = y[rows] - line.intercept - line.slope * x[rows]
        assert r2 == pytest.approx(1 - residual.var() / y[rows].var())
    headline = one(outcome, "sts.correlation.pearson", domains="all")
    assert headline.ci is not None
    assert headline.ci[0] < headline.value < headline.ci[1]  # type: ignore[operator]
    assert headline.axes == {"forecast": "sts.act", "domains": "all"}


def test_extremes_are_those_of_figure_3_and_say_so() -> None:
    """The notebook's eight: the paper takes the 4 largest and the 4 smallest of |change|."""
    changes = {**PAPER, "biology": 3.1, "other": -1.3}  # the notebook has 1.30 for other
    y = np.abs(list(changes.values()))
    chosen = {list(changes)[i] for i in extremes(y, 4)}
    assert chosen == {
        "engineering", "chemistry", "physics", "computer science", "other", "psychology",
        "history", "law",
    }  # fmt: skip
    record = one(run(findings(PAPER, scores())), "sts.correlation.pearson", domains="extremes")
    assert record.options["chosen_on"] == "the outcome"
    assert record.ci_why == "the domains were chosen on the outcome"


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 6, 7, 8])
@pytest.mark.parametrize("ties", [False, True])
def test_p_is_the_share_of_all_orders(n: int, ties: bool) -> None:
    """CASES row 14: the orders with |r| at least that observed, by enumeration; no draw counts."""
    rng = np.random.default_rng(n)
    x, y = rng.exponential(size=(2, n))
    x = np.round(x) + np.arange(n) // 2 if ties else x
    a, b = np.array([*permutations(x - x.mean())]), y - y.mean()
    whole = a @ b / np.sqrt((a**2).sum(1) * (b**2).sum())
    assert len(whole) == math.factorial(n)
    assert whole[0] == pytest.approx(np.corrcoef(x, y)[0, 1])
    expected = np.mean(np.abs(whole) >= abs(whole[0]) - 1e-10)
    assert permutation_p(x, y, 99, 0) == pytest.approx(expected, abs=1e-12)
    assert permutation_p(x, -3 * y, 99, 7) == pytest.approx(expected, abs=1e-12)


def test_p_of_skewed_numbers_is_not_twice_a_tail() -> None:
    """CASES row 14: of a point far out, 1 order in 4 is as extreme, and none the other way."""
    x, y = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0])
    assert permutation_p(x, y, 10_000, 0) == 0.25


def test_p_of_ten_domains_counts_all_their_orders() -> None:
    """CASES row 14: of 10 in the same order, 2 of 10! orders have |r| = 1."""
    x = np.arange(10.0)
    assert permutation_p(x, x, 99, 0) == 2 / math.factorial(10)


@pytest.mark.slow
def test_p_of_many_domains_is_of_drawn_orders() -> None:
    near = permutation_p(np.arange(12.0), np.arange(12.0) ** 2, 999, 0)
    assert near == pytest.approx(1 / 1000)
    x, y = np.random.default_rng(0).normal(size=(2, 12))
    assert permutation_p(x, y, 99, 3) == permutation_p(x, y, 99, 3)
    rng = np.random.default_rng(5)
    drawn = np.array([abs(np.corrcoef(rng.permutation(x), y)[0, 1]) for _ in range(4000)])
    expected = float(np.mean(drawn >= abs(np.corrcoef(x, y)[0, 1])))
    assert permutation_p(x, y, 4000, 1) == pytest.approx(expected, abs=0.04)


def test_what_differs_by_rounding_has_no_correlation() -> None:
    """CASES row 14, its kind: rounding is no signal."""
    x = np.array([0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2])
    assert np.ptp(x) > 0
    found, why = with_change(x, np.arange(4.0))
    assert found is None
    assert "0.3 in all 4 domains" in str(why)


def test_p_is_uniform_where_there_is_nothing() -> None:
    rng = np.random.default_rng(1)
    found = [permutation_p(*rng.normal(size=(2, 5)), 200, 0) for _ in range(200)]
    assert 0.02 <= np.mean(np.array(found) <= 0.1) <= 0.17


def test_intervals_of_domains_cover() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for i in range(100):
        x = rng.normal(size=14)
        y = 0.7 * x + np.sqrt(1 - 0.49) * rng.normal(size=14)
        intervals, _ = bootstrap(x, y, 200, i)
        assert intervals is not None
        inside += intervals["pearson"][0] <= 0.7 <= intervals["pearson"][1]
    assert inside >= 85


def test_leaving_one_out_finds_the_outlier() -> None:
    x, y = np.array([1.0, 2, 3, 4, 50]), np.array([2.0, 1, 2, 1, 60])
    without = leave_one_out(x, y)
    assert without[4] == pytest.approx(stats.pearsonr(x[:4], y[:4])[0])
    changes = dict(zip("abcde", y, strict=True))
    outcome = run(findings(changes, dict(zip("abcde", x, strict=True))), extremes=0)
    lowest = one(outcome, "sts.correlation.leave_one_out_min").value
    assert lowest == pytest.approx(without[4])
    rows = {row["left_out"]: row["pearson"] for row in outcome.tables["leave_one_out"]}
    assert rows["e"] == pytest.approx(without[4])


def test_the_table_has_every_domain() -> None:
    outcome = run(findings(PAPER, scores()))
    rows = {row["domain"]: row for row in outcome.tables["changes"]}
    assert rows["computer_science"]["change"] == pytest.approx(-4.88)
    assert rows["computer_science"]["sts.act"] == scores()["computer science"]


# ── The change of accuracy ───────────────────────────────────────────────────────────────────────


@given(*[st.integers(0, 30)] * 4)
def test_newcombe_turned_around(both: int, left: int, right: int, neither: int) -> None:
    assume(both + left + right + neither)
    low, high = newcombe(both, left, right, neither)
    assert newcombe(both, right, left, neither) == pytest.approx((-high, -low))
    n = both + left + right + neither
    assert -1 <= low <= (left - right) / n <= high <= 1


def test_newcombe_covers() -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(500):
        both, left, right, none = rng.multinomial(60, [0.5, 0.1, 0.2, 0.2])
        low, high = newcombe(int(both), int(left), int(right), int(none))
        inside += low <= -0.1 <= high
    assert 0.92 <= inside / 500 <= 0.985


def test_changes_have_intervals_over_shared_questions() -> None:
    found = findings({"law": -20.0, "math": 0.0, "other": 5.0}, dict.fromkeys(PAPER, 1.0))
    rows = [
        {
            "experiment": experiment, "direction": "none", "task": "mmlu_pro", "domain": "law",
            "question": q, "right": q < (50 if experiment == "before" else 30),
        }
        for experiment in ("before", "after")
        for q in range(100)
    ]  # fmt: skip
    records = [r for r in found.records if r.axes.get("domain") in ("law", "math", "other")]
    outcome = run(Findings(tuple(records), {"mmlu.samples": rows}), extremes=0)
    law = one(outcome, "accuracy.change", domain="law")
    low, high = newcombe(30, 0, 20, 50)
    assert law.ci == pytest.approx((100 * low, 100 * high))
    assert low < -0.2 < high < 0
    math_ = one(outcome, "accuracy.change", domain="math")
    assert math_.ci is None
    assert math_.null == {"kind": "no change", "value": 0.0}
    # 20 questions changed, all one way: McNemar's exact test, for families.
    tested = {"p": pytest.approx(2 * 0.5**20), "least_p": pytest.approx(2 * 0.5**100)}
    assert law.null == {"kind": "no change", "value": 0.0, **tested}


def test_p_of_a_correlation_says_how_small_it_can_be() -> None:
    for n, least in ((5, 1 / math.factorial(5)), (14, 1 / 500)):
        changes, foretold = (dict(list(of.items())[:n]) for of in (PAPER, scores()))
        outcome = run(findings(changes, foretold))
        p = pick(outcome, "sts.correlation.permutation_p@2", domains="all")
        assert p.null is not None
        assert (p.null["p"], p.null["least_p"]) == (p.value, pytest.approx(least))


# ── Where it cannot ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        ([1.0, 2.0], [1.0, 2.0], "2 domains; a correlation needs 3"),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], "the forecast is 1 in all 3 domains"),
        ([1.0, 2.0, 3.0], [4.0, 4.0, 4.0], "the measured change is 4 in all 3 domains"),
    ],
)
def test_no_correlation(x: list[float], y: list[float], why: str) -> None:
    assert with_change(np.array(x), np.array(y)) == (None, why)
    names = "abc"[: len(x)]
    outcome = run(findings(dict(zip(names, y, strict=True)), dict(zip(names, x, strict=True))))
    for record in outcome.records:
        if record.id.startswith("sts.correlation") and record.axes["domains"] == "all":
            assert (record.value, record.undefined) == (None, why)


@pytest.mark.parametrize("copies", [2, 7])
def test_equal_questions_are_one_cluster_of_a_change(copies: int) -> None:
    """CASES row 12: copies of every question leave the change as uncertain as it was.

    By the design effect, m copies of C questions are C − 1 independent ones, whatever m is.
    """
    rng = np.random.default_rng(3)
    answers = rng.random((2, 40)) < np.array([[0.7], [0.4]])
    before, after = (
        {(i, c): bool(row[i]) for i in range(40) for c in range(copies)} for row in answers
    )
    same = {question: (question[0], 0) for question in before}
    cells = [int(((answers[0] == b) & (answers[1] == a)).sum()) for b, a in
             ((True, True), (False, True), (True, False), (False, False))]  # fmt: skip
    low, high = newcombe(*(cell * 39 / 40 for cell in cells))
    ci, why = _interval(before, after, same)
    assert why is None
    assert ci == pytest.approx((100 * low, 100 * high), rel=1e-9)
    plain, _ = _interval(before, after, {})
    assert plain is not None
    assert plain[1] - plain[0] < 0.8 * 100 * (high - low)
    assert _interval({1: True, 2: True}, {1: False, 2: False}, {1: 1, 2: 1})[0] is None
    firsts = [{i: bool(row[i]) for i in range(40)} for row in answers]
    assert _tested(before, after, same) == pytest.approx(_tested(*firsts, {}))


def test_few_domains_have_no_extremes_and_no_interval() -> None:
    names = ["a", "b", "c", "d"]
    changes = dict(zip(names, [1.0, 5.0, 2.0, 9.0], strict=True))
    outcome = run(findings(changes, dict(zip(names, [1.0, 4.0, 3.0, 5.0], strict=True))))
    record = one(outcome, "sts.correlation.pearson", domains="all")
    assert record.value is not None
    assert record.ci_why == "4 domains; an interval needs 5"
    extreme = one(outcome, "sts.correlation.pearson", domains="extremes")
    assert extreme.undefined == "there are 4 domains, and the extremes would be 8 of them"


@pytest.mark.parametrize("experiment", ["before", "after"])
def test_a_domain_missing_on_one_side_is_named(experiment: str) -> None:
    found = findings(PAPER, scores())
    records = [
        r
        for r in found.records
        if (r.axes.get("experiment"), r.axes["domain"]) != (experiment, "law")
    ]
    with pytest.raises(DataError, match=f"experiments.{experiment}: .* domain law"):
        run(Findings(tuple(records)))


def test_a_domain_missing_in_the_forecast_is_named() -> None:
    some = {name: value for name, value in scores().items() if name != "law"}
    with pytest.raises(DataError, match=r"sts.act has no forecast for the domain law"):
        run(findings(PAPER, some))
    with pytest.raises(DataError, match=r"forecasts the domain astrology, whose accuracy"):
        run(findings(PAPER, {**scores(), "astrology": 1.0}))


def test_other_questions_are_no_change() -> None:
    found = findings(PAPER, scores())
    records = [*found.records]
    records[0] = Record(**{**vars(records[0]), "options": {"metric": "another"}})
    with pytest.raises(DataError, match="before and after differ in metric"):
        run(Findings(tuple(records)))


def test_two_accuracies_of_a_domain_need_a_choice() -> None:
    found = findings(PAPER, scores())
    twice = accuracy("before", "law", 0.1, evaluator="another")
    with pytest.raises(DataError, match="more than one accuracy for the domain law"):
        run(Findings((*found.records, twice)))
    assert run(Findings((*found.records, twice)), evaluator="mmlu").records


def test_an_undefined_forecast_makes_the_correlation_undefined() -> None:
    found = findings(PAPER, {**scores(), "law": None})  # type: ignore[dict-item]
    record = one(run(found), "sts.correlation.pearson", domains="all")
    assert record.undefined == "the forecast of law is undefined"


def test_nothing_found_nothing_raised() -> None:
    why = {r.undefined for r in run(Findings()).records}
    assert why == {"analyses.sts made no forecast by domain before this analysis"}
    alone = Findings(tuple(forecast(name, 1.0) for name in PAPER))
    assert {r.undefined for r in run(alone).records} == {
        "before or after has no accuracy by domain"
    }


def test_the_laws_of_an_analysis() -> None:
    found = findings(PAPER, scores())
    options = {"sts": "sts", "before": {"experiment": "before"}, "after": {"experiment": "after"}}
    check_analysis(TransferCorrelation(Given.model_validate(options)), found)
    check_analysis(MixtureAdvice(Mixture(sts="sts", forecast="sts.act")), found)


# ── The probe ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_the_probe_is_a_ridge_regression_without_the_domain() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(9, 20)), rng.normal(size=9)
    found = ridge_probe.predictions(features, target)
    for i in range(9):
        others = np.delete(np.arange(9), i)

        def error(penalty: float, rows: np.ndarray = others) -> float:
            inner = [(np.setdiff1d(rows, [j]), j) for j in rows]
            return sum(
                (sklearn_ridge(features, target, part, j, penalty) - target[j]) ** 2
                for part, j in inner
            )

        best = min(10.0 ** np.arange(-3, 4), key=error)
        expected = sklearn_ridge(features, target, others, i, best) - target[others].mean()
        assert found[i] == pytest.approx(expected, rel=1e-8)


def sklearn_ridge(
    features: np.ndarray, target: np.ndarray, rows: np.ndarray, asked: int, penalty: float
) -> float:
    x = features[rows] - features[rows].mean(0)
    scale = float((x**2).sum()) / len(rows)
    model = Ridge(alpha=penalty * scale).fit(features[rows], target[rows])
    return float(model.predict(features[[asked]])[0])


def test_the_probe_knows_what_is_there() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(12, 3))
    target = features @ np.array([1.0, -2.0, 0.5]) + 7
    assert np.corrcoef(ridge_probe.predictions(features, target), target)[0, 1] > 0.99
    assert not ridge_probe.predictions(np.ones((12, 3)), target).any()


def test_the_probe_in_a_task() -> None:
    rng = np.random.default_rng(2)
    counts = {"tokens": np.array([10]), "documents": np.array([10])}
    kept = tuple(
        Arrays("domains", {"domain": name}, {**counts, "left_sum": rng.normal(size=(1, 6))})
        for name in PAPER
    )
    found = findings(PAPER, scores())
    outcome = run(Findings(found.records, arrays=kept), probe="domains")
    record = one(outcome, "sts.correlation.pearson", forecast="sts.baseline.probe", domains="all")
    assert record.axes["space"] == "latents"
    assert record.value is not None
    with pytest.raises(DataError, match=r"statistics\.domains: did not measure the domain law"):
        run(Findings(found.records, arrays=kept[:-1]), probe="domains")


# ── Mixtures ─────────────────────────────────────────────────────────────────────────────────────


def mixture(*records: Record) -> Outcome:
    given = Mixture.model_validate({"sts": "sts", "forecast": "sts.act"})
    return MixtureAdvice(given).run(Findings(records))


def test_shares_are_in_proportion() -> None:
    outcome = mixture(forecast("law", 1.0), forecast("engineering", 3.0), forecast("math", 0.0))
    assert {r.axes["domain"]: r.value for r in outcome.records} == {
        "law": 0.25, "engineering": 0.75, "math": 0.0,
    }  # fmt: skip
    assert [row["domain"] for row in outcome.tables["mixture"]] == ["engineering", "law", "math"]
    assert [row["rank"] for row in outcome.tables["mixture"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([1.0, None], "the forecast of b is undefined: so"),
        ([1.0, -0.5], "the forecast of b is negative"),
        ([0.0, 0.0], "the forecast is 0 in every domain"),
    ],
)
def test_no_shares(values: list[float | None], why: str) -> None:
    outcome = mixture(*(forecast(n, v) for n, v in zip("ab", values, strict=True)))
    assert {r.undefined for r in outcome.records} == {why}
    assert not outcome.tables


def test_no_forecast_no_shares() -> None:
    (record,) = mixture().records
    assert record.undefined == "analyses.sts made no sts.act by domain before this analysis"
