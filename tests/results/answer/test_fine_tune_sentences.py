"""Sentences about forecasts over several fine-tunes follow intervals, and flip with them."""

from __future__ import annotations

from harness.contract import JSON, Record
from harness.results import Results
from harness.results.answer.fine_tunes import baselines_over_tunes, forecasts_over_tunes

Interval = tuple[float, float]


def results(*records: Record) -> Results:
    return Results("complete", {}, {}, records)


def r(value: float | None, ci: Interval | None, over: str = "fine-tunes", **more: JSON) -> Record:
    axes: dict[str, JSON] = {
        "analysis": "held", "forecast": "sts.act", "within": "fine-tune", "samples": "others",
        "over": over, **more,
    }  # fmt: skip
    why = None if value is not None else "1 fine-tune"
    return Record("forecast.correlation@1", value, 90, "samples", "coefficient", clusters=11,
                  ci=ci, ci_why=None if ci else "few", undefined=why, axes=axes)  # fmt: skip


def power(value: float) -> Record:
    axes: dict[str, JSON] = {
        "analysis": "held", "correlation": 0.5, "shares": "stated", "over": "fine-tunes",
    }  # fmt: skip
    return Record("forecast.power@1", value, 1000, "experiments", "probability", ci=(0.9, 1.0),
                  axes=axes)  # fmt: skip


def difference(against: str, value: float, ci: Interval) -> Record:
    axes: dict[str, JSON] = {
        "analysis": "held", "forecast": "sts.act", "against": f"sts.baseline.{against}",
        "within": "fine-tune", "samples": "others", "over": "fine-tunes",
    }  # fmt: skip
    return Record("forecast.difference@1", value, 90, "samples", "coefficient", ci=ci, axes=axes)


def verdict(*records: Record) -> str:
    (found,) = forecasts_over_tunes(results(*records))
    return found.text


def test_an_interval_that_holds_0_is_no_evidence_and_says_what_would_have_been_seen() -> None:
    text = verdict(power(0.98), r(0.1, (-0.2, 0.4)), r(0.1, (-0.5, 0.6), "either"))
    assert text == (
        "No evidence that sts.act foretells which domains change: Pearson's r with the size of "
        "the change, within fine-tunes over 90 samples of 11 fine-tunes (held), is 0.10 "
        "[-0.20, 0.40] (a true 0.5 would have been seen with a chance of 98%)."
    )


def test_a_forecast_on_these_domains_alone_says_so() -> None:
    wide, narrow = r(0.4, (-0.1, 0.7), "either"), r(0.4, (0.1, 0.6), "either")
    here = r(0.4, (0.2, 0.6))
    assert "the interval that minds other domains, too, holds 0: [-0.10, 0.70]" in verdict(
        here, wide
    )
    assert "too, also leaves out 0: [0.10, 0.60]" in verdict(here, narrow)
    assert verdict(here).startswith("What sts.act forecast higher changed more: ")
    assert "changed less" in verdict(r(-0.4, (-0.6, -0.2)))


def test_without_a_number_or_an_interval() -> None:
    assert "has no correlation" in verdict(r(None, None))
    assert "no interval to judge by" in verdict(r(0.3, None))


def test_baselines_and_other_samples_are_no_headline() -> None:
    for other in (
        {"samples": "all"}, {"within": "nothing"}, {"forecast": "sts.baseline.base_accuracy"},
    ):  # fmt: skip
        assert not list(forecasts_over_tunes(results(r(0.5, (0.1, 0.9), **other))))


def test_baselines_are_beaten_or_beat() -> None:
    (found,) = baselines_over_tunes(results(
        difference("base_accuracy", -0.4, (-0.6, -0.2)),
        difference("raw_activation", 0.3, (0.1, 0.5)),
        difference("probe", 0.0, (-0.2, 0.2)),
    ))  # fmt: skip
    assert found.text == (
        "Within fine-tunes sts.act foretells better than raw_activation (r 0.30 [0.10, 0.50] "
        "apart), worse than base_accuracy (r -0.40 [-0.60, -0.20] apart), not told apart from 1 of "
        "3 baselines (held)."
    )
    (none,) = baselines_over_tunes(results(difference("probe", 0.0, (-0.2, 0.2))))
    assert "is not told apart from any of 1 simpler forecasts" in none.text
