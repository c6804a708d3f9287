"""FVU over three settings."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from harness.contract import Findings, Outcome, Record
from harness.testing import check_analysis
from harness_analyses.sae_fit.fvu_settings import FvuSettings
from harness_analyses.sae_fit.options import FvuSettingsOptions as Options

GIVEN: dict[str, Any] = {
    "base": {"view": "base", "data": "web"},
    "other_data": {"view": "base", "data": "chats"},
    "other_model": {"view": "chat", "data": "chats"},
}
POINTS, RELATIVE = "fvu.degradation@1", "fvu.degradation_relative@1"


def fvu(value: float | None, view: str, data: str, *, sae: str = "mid", **more: Any) -> Record:
    axes = {"view": view, "data": data, "site": "resid_post.3", "sae": sae}
    given = {"id": "fvu.pooled@1", "undefined": None if value is not None else "constant"}
    given |= {"n": 100, "clusters": 12, "ci_why": "too few", **more}
    axes |= given.pop("axes", {})
    if "ci" in given:
        given["ci_why"] = None
    return Record(value=value, n_of="tokens", unit="ratio", axes=axes, **given)


def three(a: float | None, b: float | None, c: float | None, **more: Any) -> list[Record]:
    return [
        fvu(a, "base", "web", **more),
        fvu(b, "base", "chats", **more),
        fvu(c, "chat", "chats", **more),
    ]


def run(records: list[Record], **more: Any) -> Outcome:
    analysis = FvuSettings(Options.model_validate({**GIVEN, **more}))
    findings = Findings(records=tuple(records))
    check_analysis(analysis, findings)
    return analysis.run(findings)


def values(outcome: Outcome, **axes: Any) -> dict[tuple[str, str], float | None]:
    return {
        (str(r.axes["step"]), r.id): r.value
        for r in outcome.records
        if axes.items() <= r.axes.items()
    }


def test_both_kinds_of_degradation() -> None:
    outcome = run(three(0.2, 0.25, 0.28))
    expected = {
        ("data", POINTS): 0.05,
        ("data", RELATIVE): 0.05 / 0.8,
        ("model", POINTS): 0.03,
        ("model", RELATIVE): 0.03 / 0.75,
        ("both", POINTS): 0.08,
        ("both", RELATIVE): 0.1,
    }
    assert values(outcome) == pytest.approx(expected)
    (row,) = outcome.tables["fvu_settings"]
    assert (row["site"], row["sae"], row["domain"]) == ("resid_post.3", "mid", None)
    assert (row["fvu_base"], row["fvu_other_data"], row["fvu_other_model"]) == (0.2, 0.25, 0.28)
    assert row["both_relative"] == pytest.approx(0.1)
    assert all(r.axes["site"] == "resid_post.3" and r.axes["sae"] == "mid" for r in outcome.records)


def test_each_site_sae_and_category_on_its_own() -> None:
    deep = {"axes": {"site": "resid_post.5"}, "sae": "late"}
    law = {"axes": {"domain": "law"}}
    outcome = run(
        [*three(0.1, 0.2, 0.3), *three(0.1, 0.1, 0.1, **deep), *three(0.5, 0.6, 0.7, **law)]
    )
    assert values(outcome, site="resid_post.5")["both", POINTS] == 0
    assert values(outcome, domain="law")["data", RELATIVE] == pytest.approx(0.2)
    assert len(outcome.records) == 18
    assert [row["domain"] for row in outcome.tables["fvu_settings"]] == [None, None, "law"]


def test_a_ceiling_is_another_sae_in_the_last_setting() -> None:
    records = [*three(0.1, 0.2, 0.3), fvu(0.22, "chat", "chats", sae="chat_sae")]
    outcome = run(records, ceiling="chat_sae")
    found = values(outcome, sae="mid")
    assert found["ceiling", POINTS] == pytest.approx(0.08)
    assert found["ceiling", RELATIVE] == pytest.approx(0.08 / 0.78)
    assert {r.axes["sae"] for r in outcome.records} == {"mid"}
    assert outcome.tables["fvu_settings"][0]["fvu_ceiling"] == 0.22
    missing = values(run(three(0.1, 0.2, 0.3), ceiling="chat_sae"))
    assert missing["ceiling", POINTS] is None
    assert missing["both", POINTS] == pytest.approx(0.2)


def test_the_interval_of_a_difference() -> None:
    records = three(0.2, 0.3, 0.3)
    records[0] = fvu(0.2, "base", "web", ci=(0.17, 0.24))
    records[1] = fvu(0.3, "base", "chats", ci=(0.26, 0.33))
    points, relative, *rest = run(records).records
    assert points.ci == pytest.approx((0.1 - math.hypot(0.04, 0.04), 0.1 + math.hypot(0.03, 0.03)))
    assert (relative.ci, relative.ci_why) == (None, "a ratio of two FVUs; see their own intervals")
    assert rest[0].ci is None
    assert "too few" in str(rest[0].ci_why)


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([], "no FVU was measured at view base, data web"),
        (three(0.1, None, 0.2), "the FVU at view base, data chats is undefined: constant"),
        (three(0.1, 0.2, 0.3)[:1], "no FVU was measured at view base, data chats"),
        ([*three(0.1, 0.2, 0.3), fvu(0.15, "base", "web", axes={"pair": "p"})], "name the pair"),
    ],
)
def test_what_is_missing_is_said(records: list[Record], why: str) -> None:
    first = run(records).records[0]
    assert first.value is None
    assert why in str(first.undefined)


def test_a_pair_or_an_axis_may_choose() -> None:
    other = fvu(0.15, "base", "web", axes={"pair": "p"})
    records = [*three(0.1, 0.2, 0.3), other]
    outcome = run(records, base={**GIVEN["base"], "pair": "p"})
    assert values(outcome)["data", POINTS] == pytest.approx(0.05)
    early = [fvu(0.4, "chat", "chats", axes={"checkpoint": 10})]
    model = {**GIVEN["other_model"], "axes": {"checkpoint": 10}}
    outcome = run([*three(0.1, 0.2, 0.3)[:2], *early], other_model=model)
    assert values(outcome)["both", POINTS] == pytest.approx(0.3)


def test_the_same_view_in_two_pairs_is_one_number() -> None:
    again = [fvu(r.value, str(r.axes["view"]), str(r.axes["data"]), axes={"pair": "p"})
             for r in three(0.1, 0.2, 0.3)]  # fmt: skip
    assert values(run([*three(0.1, 0.2, 0.3), *again]))["both", POINTS] == pytest.approx(0.2)


def test_nothing_explained_cannot_be_lost() -> None:
    outcome = run(three(1.2, 1.3, 0.9))
    found = values(outcome)
    assert found["data", POINTS] == pytest.approx(0.1)
    assert found["data", RELATIVE] is None
    assert "explains nothing at view base, data web" in str(outcome.records[1].undefined)


def test_another_variant() -> None:
    records = [*three(0.1, 0.2, 0.3), *three(0.2, 0.4, 0.6, id="fvu.batch_mean@1")]
    assert values(run(records, variant="batch_mean"))["both", POINTS] == pytest.approx(0.4)


def test_bad_options() -> None:
    with pytest.raises(ValidationError, match="other_model"):
        Options.model_validate({"base": GIVEN["base"], "other_data": GIVEN["other_data"]})
    with pytest.raises(ValidationError, match="sae"):
        Options.model_validate({**GIVEN, "base": {**GIVEN["base"], "sae": "mid"}})
