"""What goes with what: points of one run, and numbers that rise with a setting of several."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.contract import (
    Grid,
    OneRun,
    Panel,
    Prose,
    Record,
    Results,
    Runs,
    SectionOptions,
    Variant,
)
from harness.drawing import undrawable
from harness.report.blocks import prepared
from harness.several.numbers import shared_numbers
from harness.testing.section import hostile
from harness_sections.example_run import example_run
from harness_sections.together.orders import numbers, orders
from harness_sections.together.over_runs import going
from harness_sections.together.section import Together

SECTION = Together(SectionOptions())
ID = "layer_31/width_131k/average_l0_{}"
L0 = (13, 22, 37, 63, 109)
PAPER = (0.78, 0.77, 0.72, 0.75, 0.65)


def record(id: str, value: float | None, **axes: Any) -> Record:
    why = None if value is not None else "no token"
    return Record(f"{id}@1", value, 9, "tokens", "share", undefined=why, ci_why="few", axes=axes)


def runs(*variants: tuple[dict[str, str], list[list[Record]]]) -> Runs:
    """Variants by their settings, with the records of each seed."""
    made = tuple(
        Variant(
            str(place), settings,
            tuple(OneRun(f"{place}-{seed}", str(seed), Results("complete", {}, {}, tuple(one)))
                  for seed, one in enumerate(seeds)),
        )
        for place, (settings, seeds) in enumerate(variants)
    )  # fmt: skip
    return Runs((next(iter(variants[0][0])),), made, shared_numbers(made))


def sparsities(r: tuple[float | None, ...] = PAPER) -> Runs:
    return runs(*(
        ({"saes.late.id": ID.format(l0), "saes.late.hash": f"{l0:064x}"},
         [[record("r", value, analysis="t"), record("same", 1.0), record("edit.x", float(l0))],
          [record("r", None if value is None else value + 0.02, analysis="t")]])
        for l0, value in zip(L0, r, strict=True)
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "2.5", "1e2", "-3"], [1, 2.5, 100, -3]),
        ([ID.format(l0) for l0 in L0], list(L0)),
        (["step_20", "step_100"], [20, 100]),
        (["a1b2", "a2b3"], None),  # which of both?
        (["gemma-2", "qwen-2"], None),
        (["", "1"], None),
        (["1" * 40, "2" * 40], [float("1" * 40), float("2" * 40)]),
        (["v" + "1" * 40, "v" + "2" * 40], None),
        (["1e999", "1"], None),
    ],
)
def test_the_number_of_a_setting(texts: list[str], expected: list[float] | None) -> None:
    found = numbers(texts)
    assert (None if found is None else found.tolist()) == expected


def test_settings_with_one_order_are_one() -> None:
    told = [
        ({"saes.late.site": f"resid_post.{layer}", "saes.late.id": f"layer_{layer}", "x": word,
          "saes.late.hash": f"{layer}"}, [[record("r", 1.0)]])
        for layer, word in zip((7, 11, 15, 23), "abcd", strict=True)
    ]  # fmt: skip
    (one,) = orders(runs(*told))
    assert one.paths == ("saes.late.site", "saes.late.id")
    assert one.values.tolist() == [7, 11, 15, 23]
    assert orders(runs(*told[:3])) == ()


def test_a_number_over_the_papers_sparsities() -> None:
    found = sparsities()
    (order,) = orders(found)
    (one,) = going(found, order)  # what is the same everywhere, and details, are not asked
    x, y = np.array(L0), np.array(PAPER) + 0.01
    assert one.spearman == pytest.approx(stats.spearmanr(x, y).statistic)
    assert one.pearson == pytest.approx(stats.pearsonr(x, y).statistic)
    ranks = stats.rankdata(x), stats.rankdata(y)
    exact = stats.permutation_test(
        ranks[:1], lambda order: stats.spearmanr(order, ranks[1]).statistic,
        permutation_type="pairings", n_resamples=np.inf,
    )  # fmt: skip
    assert one.p == one.q == pytest.approx(exact.pvalue)


def test_q_is_of_all_that_was_asked() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(30, 8))
    variants = [
        ({"seed_of_tuning": str(n)},
         [[record("rises", float(n**3)), *(record("x", float(noise[k, n]), k=k)
                                           for k in range(30))]])
        for n in range(8)
    ]  # fmt: skip
    found = runs(*variants)
    (order,) = orders(found)
    told = going(found, order)
    assert told[0].number.id == "rises@1"
    assert told[0].p == pytest.approx(2 / 40320)
    p = np.array([one.p for one in told])
    assert [one.q for one in told] == pytest.approx(stats.false_discovery_control(p))
    panel = SECTION.panel_of_runs(found)
    assert panel is not None
    said, grid = panel.blocks
    assert isinstance(said, Prose)
    assert isinstance(grid, Grid)
    assert "seed_of_tuning puts the 8 runs in an order. Numbers that differ between" in said.text
    assert "between them: 31; that go with it at a rate of false discoveries of 5%: 1." in said.text
    assert grid.rows[0][0] == "rises@1"
    assert len(grid.rows) == 20
    assert "The first 20 of 31" in grid.note


def test_numbers_that_a_run_lacks_are_not_asked() -> None:
    assert SECTION.panel_of_runs(sparsities((*PAPER[:4], None))) is None
    assert SECTION.panel_of_runs(Runs((), (), ())) is None


def _sound(panel: Panel | None) -> None:
    for block in panel.blocks if panel else ():
        prepared(block)


def test_one_run_shows_its_points() -> None:
    results = example_run()
    panel = SECTION.panel(results)
    assert panel is not None
    (figure,) = panel.blocks
    assert figure.title == "x.y with l0: sparse"
    assert figure.data[0]["x"] == [13, 22]
    assert "Spearman's ρ -1 (p = 0.33, of 3); Pearson's r is undefined" in figure.description
    assert {one.id for one in figure.records} == {
        "correlation_over.spearman@1", "correlation_over.pearson@1"
    }  # fmt: skip
    assert undrawable(figure.data) is None
    json.dumps([list(figure.data), dict(figure.layout)], allow_nan=False)
    _sound(panel)


def test_hostile_text_and_nothing_are_no_crash() -> None:
    _sound(SECTION.panel(hostile(example_run())))
    assert SECTION.panel(Results("complete", {}, {}, ())) is None
    bad = [hostile(Results("complete", {}, {}, (record("r", value, analysis="t"),)))
           for value in PAPER]  # fmt: skip
    made = tuple(
        Variant(f"<b>{n}", {"<script>": str(n)}, (OneRun("\x1b[31m", "0", one),))
        for n, one in enumerate(bad)
    )
    panel = SECTION.panel_of_runs(Runs(("<script>",), made, shared_numbers(made)))
    assert panel is not None
    _sound(panel)
