"""Whether two numbers go together over an axis: against scipy, by laws, and what is said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from harness.contract import Findings, Outcome, Record, SaeFacts
from harness.contract.sites import parse_site
from harness.results.correlation import permutation_p, permutation_ps
from harness_analyses.over.correlation_over import CorrelationOver
from harness_analyses.over.options import CorrelationOverOptions as Options

Y: dict[str, Any] = {"id": "sts.correlation.pearson", "where": {"forecast": "sts.icl"}}
L0 = {"l0_13": 13.0, "l0_22": 22.0, "l0_37": 37.0, "l0_63": 63.0, "l0_109": 109.0}
PAPER = dict(zip(L0, (0.78, 0.77, 0.72, 0.75, 0.65), strict=True))
"""C.7 of SAE as a Crystal Ball."""


def record(id: str, value: float | None, **axes: Any) -> Record:
    why = None if value is not None else "no token"
    return Record(f"{id}@1", value, 9, "domains", "coefficient", ci_why="few", undefined=why,
                  axes=axes)  # fmt: skip


def measured(of: Mapping[str, float | None] | None = None) -> list[Record]:
    values = PAPER if of is None else of
    told = [record("l0", L0[sae], sae=sae, site="resid_post.31") for sae in values]
    for forecast, shift in (("sts.icl", 0.0), ("sts.act", 0.1)):
        told += [
            record("sts.correlation.pearson", v if v is None else v + shift, sae=sae,
                   forecast=forecast) for sae, v in values.items()
        ]  # fmt: skip
    return told


def run(records: list[Record], saes: Any = None, **given: Any) -> Outcome:
    options = Options.model_validate({"over": "sae", "x": {"id": "l0"}, "y": Y, **given})
    return CorrelationOver(options).run(Findings(tuple(records), saes=saes or {}))


def both(outcome: Outcome) -> tuple[Record, Record]:
    spearman, pearson = outcome.records
    ids = [f"correlation_over.{name}@1" for name in ("spearman", "pearson")]
    assert [spearman.id, pearson.id] == ids
    return spearman, pearson


def test_the_papers_sparsities() -> None:
    """Coefficients by scipy, p by counting all 120 orders."""
    outcome = run(measured())
    x, y = np.array(list(L0.values())), np.array(list(PAPER.values()))
    for one, of, ranked in zip(
        both(outcome), (stats.spearmanr, stats.pearsonr), (stats.rankdata, np.asarray), strict=True
    ):
        assert one.value == pytest.approx(of(x, y).statistic)
        a, b = ranked(x), ranked(y)
        every = [abs(np.corrcoef(order, b)[0, 1]) for order in permutations(a)]
        as_far = np.mean(np.array(every) >= abs(np.corrcoef(a, b)[0, 1]) - 1e-10)
        assert one.null is not None
        assert one.null["p"] == pytest.approx(float(as_far))
        assert one.null["least_p"] == pytest.approx(1 / 120)
        assert (one.n, one.ci) == (5, None)
        assert "no draws" in str(one.ci_why)
    assert [row["sae"] for row in outcome.tables["points"]] == list(L0)
    assert {row["of"] for row in outcome.tables["points"]} == {"sts.correlation.pearson@1"}


@pytest.mark.slow
def test_p_of_ranks_is_scipys_exact_p() -> None:
    """scipy counts the same orders for Spearman's ρ, one by one."""
    rng = np.random.default_rng(0)
    for n in (3, 5, 7):
        x, y = rng.normal(size=(2, n))
        exact = stats.permutation_test(
            (x,), lambda order, y=y: stats.spearmanr(order, y).statistic,
            permutation_type="pairings", n_resamples=math.inf,
        )  # fmt: skip
        found = permutation_p(stats.rankdata(x), stats.rankdata(y), 99, 0)
        # scipy doubles the smaller tail; of ρ without ties both tails are alike.
        assert found == pytest.approx(exact.pvalue)


def test_many_numbers_at_once_are_each_by_itself() -> None:
    rng = np.random.default_rng(1)
    for n, every in ((6, 10), (9, 8), (12, 10)):
        x, ys = rng.normal(size=n), rng.normal(size=(5, n))
        alone = [permutation_ps(x, y[None], 999, 3, every)[0] for y in ys]
        assert permutation_ps(x, ys, 999, 3, every).tolist() == alone


def test_drawn_orders_are_what_they_were() -> None:
    """`sts.correlation.permutation_p@2` is not another number since its code has moved."""
    x, y = np.random.default_rng(2).exponential(size=(2, 14))
    a, b = x - x.mean(), y - y.mean()
    rng = np.random.default_rng(7)
    found = sum(abs(float(rng.permutation(a) @ b)) >= abs(float(a @ b)) - 1e-12 for _ in range(600))
    assert permutation_p(x, y, 600, 7) == (1 + found) / 601


@pytest.mark.parametrize("scale", [1e-3, -7.0])
def test_units_change_nothing_but_a_sign(scale: float) -> None:
    plain, other = (
        both(run(measured({sae: factor * v for sae, v in PAPER.items()})))
        for factor in (1.0, scale)
    )
    for one, two in zip(plain, other, strict=True):
        assert one.value is not None
        assert two.value == pytest.approx(math.copysign(1, scale) * one.value)
        assert two.null == one.null


def test_widths_layers_and_the_axis_itself() -> None:
    saes = {
        sae: SaeFacts(d_sae=1000 - place, site=parse_site(f"resid_post.{place * place}"))
        for place, sae in enumerate(L0)
    }
    falling = {sae: 1.0 - place / 10 for place, sae in enumerate(L0)}
    for x, rho in (("width", 1.0), ("layer", -1.0)):
        spearman, pearson = both(run(measured(falling), saes, x=x))
        assert spearman.value == pytest.approx(rho)
        assert (spearman.axes["x"], pearson.axes["y"]) == (x, "sts.correlation.pearson")
    steps = [record("z", 2.0 * n, checkpoint=n) for n in (1, 5, 9)]
    spearman, pearson = both(run(steps, over="checkpoint", x="axis", y={"id": "z@1"}))
    assert spearman.value == pearson.value == pytest.approx(1.0)
    assert spearman.null is not None
    assert spearman.null["p"] == pytest.approx(1 / 3)
    assert spearman.axes["x"] == "checkpoint"


def test_what_is_undefined_is_left_out() -> None:
    outcome = run(measured({**PAPER, "l0_22": None}))
    assert [record.n for record in outcome.records] == [4, 4]
    assert outcome.tables["points"][1]["y"] is None
    spearman, _ = both(run(measured({sae: PAPER[sae] for sae in list(PAPER)[:2]})))
    assert spearman.undefined == "2 points; a correlation needs 3"
    spearman, _ = both(run(measured(dict.fromkeys(PAPER, 0.5))))
    assert spearman.undefined == "the sts.correlation.pearson is 0.5 in all 5 points"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"y": {"id": "sts.correlation.pearson"}},
         "2 records sts.correlation.pearson have sae=l0_13, for y: they differ in forecast. Say in "
         "where which one"),
        ({"y": {"id": "nothing"}}, "no record nothing has the axis sae, for y"),
        ({"x": {"id": "l0", "where": {"site": "resid_post.9"}}},
         "no record l0, site=resid_post.9 has the axis sae, for x"),
        ({"x": "axis"}, "sae=l0_13 is no number"),
        ({"x": "width"}, "sae=l0_13 has no width that is known"),
        ({"x": "layer"}, "sae=l0_13 has no layer that is known"),
    ],
)  # fmt: skip
def test_why_there_is_none(given: dict[str, Any], why: str) -> None:
    outcome = run(measured(), **given)
    assert [record.undefined for record in outcome.records] == [why, why]
    assert outcome.tables["points"] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"over": "pair", "x": "width"}, "a fact of SAEs, and over is 'pair'"),
        ({"y": {"id": "z", "where": {"sae": "a"}}}, "y.where holds 'sae' still"),
        ({"x": "depth"}, "x"),
        ({"over": ""}, "over"),
    ],
)
def test_what_a_task_may_not_write(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Options.model_validate({"over": "sae", "x": {"id": "l0"}, "y": Y, **given})
