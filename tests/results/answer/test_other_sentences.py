"""Sentences about forecasts, conclusions and what is missing; and the order of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.contract import Record, Results
from harness.results.answer import TEMPLATES, answer
from harness.results.answer.forecast import accuracy_changes, forecasts, shift_overlaps
from harness.results.answer.words import concluded, gaps, validity

Make = Callable[..., Record]
Of = Callable[..., Results]


def said(found: Any) -> list[str]:
    return [sentence.text for sentence in found]


def one(found: Any) -> str:
    (text,) = said(found)
    return text


# ── Forecasts ────────────────────────────────────────────────────────────────────────────────────


def pearson(
    record: Make, value: float | None, ci: tuple[float, float] | None, forecast: str = "sts.act",
    domains: str = "all",
) -> Record:  # fmt: skip
    here = {"forecast": forecast, "domains": domains, "analysis": "a"}
    found = record("sts.correlation.pearson", value, ci, **here)
    return replace(found, null={"kind": "no association", "value": 0.0}, options={"sts": "b"})


@pytest.mark.parametrize(
    ("value", "ci", "start"),
    [
        (0.8, (0.4, 0.95), "What was forecast higher changed more: Pearson's r over 100 prompts"),
        (-0.8, (-0.95, -0.4), "What was forecast higher changed less"),
        (0.8, (-0.1, 0.95), "No evidence of a forecast"),
        (-0.8, (-0.9, 0.1), "No evidence of a forecast"),
        (0.8, None, "Pearson's r with the size of the change"),
        (None, None, "sts.act has no correlation"),
    ],
)
def test_a_forecast_is_judged_by_its_interval(
    record: Make, results: Of, value: float | None, ci: tuple[float, float] | None, start: str
) -> None:
    assert one(forecasts(results(pearson(record, value, ci)))).startswith(start)


def test_forecasts_that_came_out_alike_share_a_sentence(record: Make, results: Of) -> None:
    none, some = (-0.1, 0.9), (0.1, 0.9)
    both = results(pearson(record, 0.5, none), pearson(record, 0.4, none, "sts.icl"))
    assert "sts.act 0.50 [-0.10, 0.90] and sts.icl 0.40 [-0.10, 0.90]" in one(forecasts(both))
    apart = results(pearson(record, 0.5, none), pearson(record, 0.4, some, "sts.icl"))
    assert len(said(forecasts(apart))) == 2


def test_baselines_and_chosen_domains_are_no_forecast(record: Make, results: Of) -> None:
    chosen = pearson(record, 0.9, (0.8, 0.99), domains="extremes")
    baseline = pearson(record, 0.9, (0.8, 0.99), "sts.baseline.probe")
    assert said(forecasts(results(chosen, baseline))) == []


def test_a_forecast_shows_what_it_was_made_from(record: Make, results: Of) -> None:
    """So that the figure on top is the scatter of these numbers."""
    mine = [record("sts.act", 1.0, domain="law", analysis="b"),
            record("accuracy.change", 1.0, domain="law", analysis="a")]  # fmt: skip
    other = record("sts.act", 1.0, domain="law", analysis="c")
    (found,) = forecasts(results(pearson(record, 0.5, (0.1, 0.9)), *mine, other))
    assert list(found.evidence[1:]) == mine


def changes(record: Make, results: Of, **by_domain: tuple[float, float, float]) -> Results:
    return results(
        *(
            replace(record("accuracy.change", v, (low, high), domain=name, analysis="a"),
                    null={"kind": "no change", "value": 0.0})
            for name, (v, low, high) in by_domain.items()
        )
    )  # fmt: skip


def test_accuracy_names_the_domain_that_changed_most(record: Make, results: Of) -> None:
    far, near, open_ = (-40.0, -50.0, -30.0), (-10.0, -15.0, -5.0), (-5.0, -15.0, 5.0)
    text = one(accuracy_changes(changes(record, results, law=far, maths=near, art=open_)))
    assert text == (
        "Accuracy fell most in law, by 40 [30, 50] percentage points; no change seen in 1 of 3 "
        "domains; by chance alone one would be seen in about 0.15."
    )
    swapped = one(accuracy_changes(changes(record, results, law=near, maths=far)))
    assert "fell most in maths" in swapped
    up = one(accuracy_changes(changes(record, results, law=(40.0, 30.0, 50.0))))
    assert up.startswith("Accuracy rose most in law, by 40 [30, 50]")
    assert one(accuracy_changes(changes(record, results, law=open_))) == (
        "No change of accuracy seen in any of 1 domains."
    )
    assert said(accuracy_changes(results())) == []


def test_overlaps_stand_beside_chance(record: Make, results: Of) -> None:
    def overlap(value: float) -> Results:
        axes = {"shift": "s", "against": "t", "space": "latents"}
        found = record("shift.overlap", value, **axes)
        return results(replace(found, null={"kind": "random", "value": 0.05}))

    assert "29% are among those that t moves most, 5% by chance" in one(
        shift_overlaps(overlap(0.29))
    )
    assert "4% are among" in one(shift_overlaps(overlap(0.04)))
    assert said(shift_overlaps(results())) == []


# ── Words ────────────────────────────────────────────────────────────────────────────────────────


def test_conclusions_of_analyses_are_sentences(results: Of) -> None:
    """The door of a third party: a column `verdict` in a table of its analysis."""
    rows = [{"verdict": "nothing moved at layer 2"}, {"verdict": "All moved!"}, {"verdict": None}]
    found = results(tables={"mine.table": rows, "other": [{"x": 1}]})
    assert said(concluded(found)) == ["Nothing moved at layer 2.", "All moved!"]
    flipped = results(tables={"mine.table": [{"verdict": "all moved at layer 2"}]})
    assert said(concluded(flipped)) == ["All moved at layer 2."]
    assert said(concluded(results(tables={"other": [{"x": 1}]}))) == []


def test_an_invalid_run_says_so_first(arm: Make, results: Of) -> None:
    bad = results(arm("none", 0.9), arm("x", 0.1), status="invalid", problems=("wrong site.",))
    assert answer(bad)[0].text == (
        "This run is invalid, so its numbers answer nothing: wrong site."
    )
    assert said(validity(results())) == []


def test_what_is_undefined_is_counted_with_its_reason(arm: Make, results: Of) -> None:
    found = results(arm("none", 0.9), arm("x", None, k=1), arm("x", None, k=2))
    assert one(gaps(found)) == ("2 of 3 numbers are undefined (all of `x`): every weight is 0.")
    assert said(gaps(results(arm("none", 0.9)))) == []


# ── All together ─────────────────────────────────────────────────────────────────────────────────


def test_the_most_telling_sentence_comes_first(arm: Make, measured: Make, results: Of) -> None:
    cosine = measured("cosine.raw", 0.9, 1, 1.0)
    large = results(arm("none", 0.9), arm("x", 0.1), cosine)
    assert answer(large)[0].text.startswith("Edit of `x` lowers")
    weights = [sentence.weight for sentence in answer(large)]
    assert weights == sorted(weights, reverse=True)
    assert all(0 <= weight <= 1 for weight in weights)


def test_no_template_fills_the_answer(measured: Make, results: Of) -> None:
    """Of twenty pairs, the first ones are told before another template has its turn."""
    cosines = [measured("cosine.raw", 0.5, s, 1.0, pair=str(n)) for n in range(20) for s in (1, 2)]
    flip = measured("filtered_share", 0.3, 1, options={"cosine_below": 0.9})
    texts = said(answer(results(*cosines, flip)))
    assert any("moved" in text for text in texts[:8])


def test_every_template_is_silent_about_nothing(results: Of) -> None:
    assert answer(results()) == ()
    assert all(list(template(results())) == [] for template in TEMPLATES)


def test_a_sentence_stands_on_records_of_the_run(arm: Make, measured: Make, results: Of) -> None:
    found = results(arm("none", 0.9), arm("x", 0.1), measured("cosine.raw", 0.9, 1, 1.0))
    for sentence in answer(found):
        assert sentence.evidence
        assert all(any(one is record for record in found.records) for one in sentence.evidence)
