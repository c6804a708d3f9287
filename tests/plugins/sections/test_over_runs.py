"""What sections show of several runs: the papers' figures over models, claims, what differs."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from typing import Any

import pytest

from harness.contract import (
    ClaimOutcome,
    FamilyOutcome,
    Figure,
    Grid,
    OneRun,
    Panel,
    Prose,
    Record,
    Results,
    Runs,
    SectionOfRuns,
    SectionOptions,
    Variant,
)
from harness.drawing import undrawable
from harness.report.blocks import prepared
from harness.several.numbers import shared_numbers
from harness.testing.section import hostile
from harness_sections.claims import Claims
from harness_sections.discoveries import Discoveries
from harness_sections.forecast.section import Forecast
from harness_sections.layers.sae_figures import SaeFigures
from harness_sections.records import Records
from harness_sections.several.differences import ordered, separation

OPTIONS = SectionOptions()
SECTIONS = (
    Claims(OPTIONS),
    Discoveries(OPTIONS),
    Forecast(OPTIONS),
    SaeFigures(OPTIONS),
    Records(OPTIONS),
)
SETTINGS: dict[str, Any] = {
    "base": {"view": "base", "data": "web"},
    "other_data": {"view": "base", "data": "chats"},
    "other_model": {"view": "chat", "data": "chats"},
    "ceiling": None,
}


def record(id: str, value: float | None, options: Any = None, **axes: Any) -> Record:
    ci = None if value is None else (value - 0.05, value + 0.05)
    why = None if value is not None else "no token was left"
    return Record(f"{id}@1", value, 90, "tokens", "ratio", options or {}, ci=ci, undefined=why,
                  axes=axes)  # fmt: skip


def drift(shift: float, depth: int = 1) -> Results:
    """A drift run of a model: `shift` is added to every value, blocks are `depth` times as deep."""
    records = []
    for place, sae in enumerate(("early", "mid", "late")):
        at = {"sae": sae, "site": f"resid_post.{(2 + place) * depth}"}
        values = (("base", "web"), 0.1), (("base", "chats"), 0.2), (("chat", "chats"), 0.3)
        records += [
            record("fvu.pooled", value + shift + place / 100, view=view, data=data, pair="p", **at)
            for (view, data), value in values
        ]
        records.append(record("fvu.degradation", 0.1, SETTINGS, step="data", analysis="a", **at))
        where = {"cosine_below": 0.9}
        for id, value in (("explained_ratio.ratio_of_means", 0.5),
                          ("intersection_ratio.per_token", 0.3)):  # fmt: skip
            records.append(record(id, value + shift, where, pair="p", data="web", **at))
    return Results("complete", {"name": "drift"}, {}, tuple(records))


DOMAINS = {"art": (2.0, -40.0), "computer science": (1.0, 5.0), "law": (1.5, -10.0)}


def transfer(r: float, shift: float = 0.0) -> Results:
    """A transfer run: Pearson's r, and `shift` added to every STS."""
    told = {"sts": "guess"}
    records = []
    for domain, (score, points) in DOMAINS.items():
        for id in ("sts.act", "sts.icl"):
            records.append(record(id, score + shift, domain=domain, analysis="guess"))
        name = domain.replace(" ", "_")
        records.append(record("accuracy.change", points, told, domain=name, analysis="held"))
    for forecast in ("sts.act", "sts.icl"):
        for domains in ("all", "extremes"):
            records.append(record("sts.correlation.pearson", r, told, forecast=forecast,
                                  domains=domains, analysis="held"))  # fmt: skip
    return Results("complete", {"name": "transfer"}, {}, tuple(records))


def runs(**variants: list[Results]) -> Runs:
    made = tuple(
        Variant(label, {"models.chat.path": label},
                tuple(OneRun(f"{label}-{n}", str(n), one) for n, one in enumerate(seeds)))
        for label, seeds in variants.items()
    )  # fmt: skip
    return Runs(("models.chat.path",) if len(made) > 1 else (), made, shared_numbers(made))


THREE = runs(gemma=[drift(0.0), drift(0.2)], llama=[drift(0.4, depth=3)], qwen=[drift(0.05)])


def figures(panel: Panel | None) -> dict[str, Figure]:
    assert panel is not None
    return {block.title: block for block in panel.blocks if isinstance(block, Figure)}


def test_these_sections_know_of_several_runs() -> None:
    assert all(isinstance(section, SectionOfRuns) for section in SECTIONS)


# ── Feature Drift ────────────────────────────────────────────────────────────────────────────────


def test_figure_1_has_the_settings_of_each_model_and_their_median() -> None:
    found = figures(SaeFigures(OPTIONS).panel_of_runs(THREE))
    for place, sae in enumerate(("early", "mid", "late")):
        figure = found[f"FVU of SAE {sae} in three settings: a"]
        assert [trace["name"] for trace in figure.data] == [
            "own model, own text", "other text", "other model",
        ]  # fmt: skip
        for trace, base in zip(figure.data, (0.1, 0.2, 0.3), strict=True):
            means = [base + place / 100 + shift for shift in (0.1, 0.4, 0.05)]
            assert trace["x"] == pytest.approx([*means, statistics.median(means)])
        names = [row["models.chat.path"] for row in figure.rows]
        assert list(dict.fromkeys(names)) == ["gemma", "llama", "qwen", "median of 3"]
        gemma = next(
            row for row in figure.rows
            if (row["models.chat.path"], row["series"]) == ("gemma", "other text")
        )  # fmt: skip
        spread = statistics.stdev([0.0, 0.2])
        assert gemma["sd over seeds"] == pytest.approx(spread)
        assert gemma["from"] == pytest.approx(0.3 + place / 100 - spread)
        assert gemma["seeds"] == 2


def test_of_one_seed_the_bar_is_the_interval_of_the_run() -> None:
    figure = figures(SaeFigures(OPTIONS).panel_of_runs(THREE))[
        "ER by SAE: p, web, cosine_below=0.9"
    ]
    row = next(row for row in figure.rows if row["run"] == "llama")
    assert (row["from"], row["to"]) == pytest.approx((0.85, 0.95))


@pytest.mark.parametrize(("short", "base"), [("ER", 0.5), ("IR", 0.3)])
def test_figure_3_has_a_line_for_each_model_along_depth(short: str, base: float) -> None:
    found = figures(SaeFigures(OPTIONS).panel_of_runs(THREE))
    figure = found[f"{short} by SAE: p, web, cosine_below=0.9"]
    lines = {trace["name"]: trace for trace in figure.data}
    assert set(lines) == {"gemma", "llama", "qwen", "median of 3"}
    assert all(trace["x"] == ["early", "mid", "late"] for trace in lines.values())
    for name, shift in (("gemma", 0.1), ("llama", 0.4), ("qwen", 0.05), ("median of 3", 0.1)):
        assert lines[name]["y"] == pytest.approx([base + shift] * 3)
    assert figure.layout["yaxis"]["title"]["text"] == short


def test_saes_of_the_other_model_are_the_ceiling() -> None:
    told = {**SETTINGS, "ceiling": "own"}
    records = [replace(r, options=told) if r.id.startswith("fvu.deg") else r
               for r in drift(0.0).records]  # fmt: skip
    at = {"sae": "mid", "site": "resid_post.3", "analysis": "a"}
    records.append(record("fvu.degradation", 0.2, told, step="ceiling", **at))
    records.append(record("fvu.pooled", 0.05, view="chat", data="chats", pair="p", sae="own",
                          site="resid_post.3"))  # fmt: skip
    made = Results("complete", {}, {}, tuple(records))
    found = figures(SaeFigures(OPTIONS).panel_of_runs(runs(a=[made], b=[made])))
    last = found["FVU of SAE mid in three settings: a"].data[-1]
    assert (last["name"], last["x"]) == ("ceiling: SAE own", [0.05] * 3)
    assert len(found["FVU of SAE early in three settings: a"].data) == 3


def test_undefined_values_are_counted_in_the_rows() -> None:
    gone = [replace(r, value=None, ci=None, undefined="no token") for r in drift(0.0).records]
    none = Results("complete", {}, {}, tuple(gone))
    found = figures(SaeFigures(OPTIONS).panel_of_runs(runs(a=[drift(0.1), none], b=[none])))
    figure = found["IR by SAE: p, web, cosine_below=0.9"]
    a, b = (next(row for row in figure.rows if row["run"] == name) for name in "ab")
    assert (a["value"], a["seeds"]) == (0.4, 1)
    assert a["why there is none"] == "1 undefined: no token"
    assert (b["value"], b["seeds"]) == (None, 0)


# ── SAE Transferability Score ────────────────────────────────────────────────────────────────────

MODELS = runs(
    qwen=[transfer(0.9), transfer(0.7, 1.0)], llama=[transfer(0.5)], gemma=[transfer(0.6)]
)


def test_figure_3_has_the_correlation_of_each_model() -> None:
    figure = figures(Forecast(OPTIONS).panel_of_runs(MODELS))[
        "Pearson's r of STS with the change: held"
    ]
    assert [trace["name"] for trace in figure.data] == ["sts.act", "sts.icl"]
    for trace in figure.data:
        assert trace["x"] == pytest.approx([0.8, 0.5, 0.6, 0.6])


def test_figure_3_has_a_point_for_each_domain_of_each_model() -> None:
    figure = figures(Forecast(OPTIONS).panel_of_runs(MODELS))[
        "sts.icl against the change: held, guess"
    ]
    assert [trace["name"] for trace in figure.data] == ["qwen", "llama", "gemma"]
    assert figure.data[0]["x"] == pytest.approx([2.5, 1.5, 2.0])
    assert figure.data[1]["x"] == pytest.approx([2.0, 1.0, 1.5])
    assert all(trace["y"] == [40.0, 5.0, 10.0] for trace in figure.data)
    assert len(figure.rows) == 9


# ── What differs, claims, tables ─────────────────────────────────────────────────────────────────


def of(*values: float, id: str = "x", half: float | None = 0.1, **axes: Any) -> Results:
    made = [record(id, value, k=n, **axes) for n, value in enumerate(values)]
    ends = [None if half is None else (r.value - half, r.value + half) for r in made]
    return Results("complete", {}, {}, tuple(replace(r, ci=ci)
                   for r, ci in zip(made, ends, strict=True)))  # fmt: skip


def test_the_numbers_that_differ_most_for_their_noise_come_first() -> None:
    """Law: scaled values and intervals leave the order as it is; wider intervals lower it."""
    found = [separation(n) for n in runs(a=[of(1.0, 5.0)], b=[of(2.0, 5.0)]).numbers]
    assert found == pytest.approx([10.0, 0.0])
    wide = runs(a=[of(10.0, half=1)], b=[of(20.0, half=1)]).numbers[0]
    assert separation(wide) == pytest.approx(10.0)
    assert separation(runs(a=[of(1.0, half=None)], b=[of(2.0, half=None)]).numbers[0]) is None
    panel = Records(OPTIONS).panel_of_runs(runs(
        a=[replace(of(1.0, 5.0), records=(*of(1.0, 5.0).records, *of(0.0, id="y").records))],
        b=[replace(of(2.0, 5.05), records=(*of(2.0, 5.05).records, *of(9.0, id="y").records))],
    ))  # fmt: skip
    assert list(figures(panel)) == ["y@1: k=0", "x@1: k=0"]


def test_nothing_that_differs_is_said_and_one_variant_has_no_such_figure() -> None:
    panel = Records(OPTIONS).panel_of_runs(runs(a=[of(1.0)], b=[of(1.05)]))
    assert panel is not None
    assert not figures(panel)
    assert any(isinstance(b, Prose) and "No number with a known" in b.text for b in panel.blocks)
    assert not figures(Records(OPTIONS).panel_of_runs(runs(a=[of(1.0), of(2.0)])))


def test_variants_in_an_order_are_joined_along_an_axis() -> None:
    assert ordered(["step_20", "step_100", "step_160"])
    assert ordered(["0.1", "2", "10"])
    assert not ordered(["gemma-2", "qwen-2", "x"])
    assert not ordered(["a1", "a2"])
    steps = {f"step_{n}": [of(float(n))] for n in (20, 50, 100)}
    (figure,) = figures(Records(OPTIONS).panel_of_runs(runs(**steps))).values()
    assert figure.data[0]["x"] == ["step_20", "step_50", "step_100"]
    assert figure.data[0]["y"] == [20, 50, 100]


def test_the_table_has_a_column_for_each_variant_and_the_median() -> None:
    panel = Records(OPTIONS).panel_of_runs(runs(a=[of(1.0), of(3.0)], b=[of(9.0)]))
    assert panel is not None
    (grid,) = [block for block in panel.blocks if isinstance(block, Grid)]
    assert list(grid.columns) == ["k", "a", "b", "median", "unit"]
    assert [list(row) for row in grid.rows] == [
        [0, "2 ± 1.41 (2 seeds)", "9 [8.90, 9.10]", "5.50 (of 2)", "ratio"],
    ]  # fmt: skip


def test_claims_are_counted_over_seeds_and_told_of_one_run() -> None:
    def claimed(status: Any, **more: Any) -> Results:
        claim = ClaimOutcome("c", "It does.", "x <= 1", status, 0.5, (0.4, 0.6), **more)
        return Results("complete", {}, {}, (), claims=(claim,))

    panel = Claims(OPTIONS).panel_of_runs(runs(
        a=[claimed("supported"), claimed("undecided"), Results("complete", {}, {}, ())],
        b=[claimed("contradicted", late=True)], c=[Results("complete", {}, {}, ())],
    ))  # fmt: skip
    assert panel is not None
    (grid,) = panel.blocks
    assert isinstance(grid, Grid)
    assert [list(row) for row in grid.rows] == [[
        "c", "It does.", "x <= 1", "1 supported, 1 undecided, 1 without it",
        "contradicted 0.50 [0.40, 0.60] (written after the run)", "",
    ]]  # fmt: skip


def test_discoveries_are_counted_run_by_run() -> None:
    def found(many: int | None) -> Results:
        family = FamilyOutcome("f", "Some do.", ("x",), 0.05, tested=40, discoveries=many)
        return Results("complete", {}, {}, (), families=(family,))

    panel = Discoveries(OPTIONS).panel_of_runs(runs(
        a=[found(3), found(0)], b=[found(None)], c=[Results("complete", {}, {}, ())],
    ))  # fmt: skip
    assert panel is not None
    (grid,) = panel.blocks
    assert isinstance(grid, Grid)
    assert [list(row) for row in grid.rows] == [
        ["f", "Some do.", "3 of 40; 0 of 40", "unmeasured", ""],
    ]  # fmt: skip
    assert Discoveries(OPTIONS).panel_of_runs(runs(a=[Results("complete", {}, {}, ())])) is None


# ── Laws ─────────────────────────────────────────────────────────────────────────────────────────

ODD = Runs((), (), ())


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("found", [THREE, MODELS, runs(a=[drift(0.0)]), runs(a=[transfer(0.1)])])
def test_every_panel_can_be_shown_and_exported(section: Any, found: Runs) -> None:
    panel = section.panel_of_runs(found)
    assert section.panel_of_runs(found) == panel
    known = {id(r) for v in found.variants for one in v.runs for r in one.results.records}
    for block in panel.blocks if panel else ():
        prepared(block)
        if isinstance(block, Figure):
            assert block.description.strip()
            assert block.rows
            json.dumps([list(block.data), dict(block.layout)], allow_nan=False)
            assert {id(record) for record in block.records} <= known
            assert undrawable(block.data) is None


@pytest.mark.parametrize("section", SECTIONS)
def test_nothing_and_hostile_text_are_no_crash(section: Any) -> None:
    assert section.panel_of_runs(ODD) is None
    assert section.panel_of_runs(runs(a=[Results("complete", {}, {}, ())])) is None
    for one in (drift(0.0), transfer(0.5)):
        bad = hostile(one)
        panel = section.panel_of_runs(runs(a=[bad], b=[one]))
        for block in panel.blocks if panel else ():
            prepared(block)
