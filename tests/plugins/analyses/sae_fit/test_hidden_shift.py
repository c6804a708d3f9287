"""The verdict on hidden shifts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.contract import Findings, Outcome, Record
from harness.testing import check_analysis
from harness_analyses.sae_fit.hidden_shift import HiddenShift
from harness_analyses.sae_fit.options import HiddenShiftOptions as Options

COSINE, OVERLAP, L1 = "cosine.raw@1", "latent_overlap.topk@1", "l1_divergence.normalized@1"


def record(id: str, value: float | None, *, drop: str = "", **more: Any) -> Record:
    axes = {"pair": "p", "data": "web", "site": "resid_post.3", "sae": "mid"}
    axes |= more.pop("axes", {})
    axes.pop(drop, None)
    given = {"undefined": None if value is not None else "nothing", "ci_why": "too few", **more}
    if "ci" in given:
        given["ci_why"] = None
    return Record(id, value, 100, "tokens", "ratio", axes=axes, **given)


def run(*records: Record, **more: Any) -> Outcome:
    analysis = HiddenShift(Options.model_validate(more))
    check_analysis(analysis, Findings(records=records))
    return analysis.run(Findings(records=records))


def one(*records: Record, **more: Any) -> tuple[Record, dict[str, Any]]:
    outcome = run(*records, **more)
    (found,), (row,) = outcome.records, outcome.tables["hidden_shift"]
    assert found.id == "hidden_shift@1"
    return found, dict(row)


@pytest.mark.parametrize(
    ("cosine", "overlap", "value", "verdict"),
    [
        (0.97, 0.41, 1, "hidden shift at layer 3: dense cosine 0.97, sparse overlap 0.41"),
        (0.95, 0.4999, 1, "hidden shift at layer 3: dense cosine 0.95, sparse overlap 0.50"),
        (0.97, 0.5, 0, "no shift at layer 3: dense cosine 0.97, sparse overlap 0.50"),
        (0.9499, 0.41, 0, "open shift at layer 3: dense cosine 0.95, sparse overlap 0.41"),
    ],
)
def test_verdicts(cosine: float, overlap: float, value: float, verdict: str) -> None:
    found, row = one(record(COSINE, cosine), record(OVERLAP, overlap))
    assert found.value == value
    assert found.axes == {"pair": "p", "data": "web", "site": "resid_post.3", "sae": "mid"}
    assert row["verdict"] == verdict
    assert row["hidden_shift"] is bool(value)


def test_thresholds_are_options() -> None:
    given = record(COSINE, 0.8), record(OVERLAP, 0.6)
    assert one(*given)[0].value == 0
    assert one(*given, cosine=0.8, overlap=0.61)[0].value == 1


def test_a_large_divergence_is_told_and_does_not_decide() -> None:
    given = record(COSINE, 0.97), record(OVERLAP, 0.7)
    found, row = one(*given, record(L1, 0.42))
    assert (found.value, row["l1"]) == (0, 0.42)
    assert row["verdict"].endswith("sparse overlap 0.70, L1 divergence 0.42")
    assert "L1" not in one(*given, record(L1, 0.42), l1=0.5)[1]["verdict"]


def test_each_target_on_its_own_and_sites_by_their_names() -> None:
    there = {"axes": {"site": "mlp_out.5", "sae": "late"}}
    outcome = run(
        record(COSINE, 0.99), record(OVERLAP, 0.3),
        record(COSINE, 0.99, **there), record(OVERLAP, 0.9, **there),
    )  # fmt: skip
    assert [r.value for r in outcome.records] == [1, 0]
    assert [str(row["verdict"]).partition(":")[0] for row in outcome.tables["hidden_shift"]] == [
        "hidden shift at layer 3", "no shift at mlp_out.5",
    ]  # fmt: skip


def test_a_cosine_measured_without_an_sae_counts() -> None:
    assert one(record(COSINE, 0.97, drop="sae"), record(OVERLAP, 0.4))[0].value == 1


@pytest.mark.parametrize(
    ("cosine", "overlap", "firm"),
    [
        ((0.96, 0.98), (0.35, 0.45), True),
        ((0.94, 0.98), (0.35, 0.45), False),
        ((0.96, 0.98), (0.35, 0.55), False),
        (None, (0.35, 0.45), None),
    ],
)
def test_firm_verdicts(cosine: Any, overlap: Any, firm: bool | None) -> None:
    given = {"ci": cosine} if cosine else {}
    _, row = one(record(COSINE, 0.97, **given), record(OVERLAP, 0.41, ci=overlap))
    assert row["firm"] is firm


def test_a_low_cosine_rules_it_out_whatever_the_overlap() -> None:
    _, row = one(record(COSINE, 0.7, ci=(0.6, 0.8)), record(OVERLAP, 0.49, ci=(0.4, 0.6)))
    assert row["firm"] is True


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([record(OVERLAP, 0.4)], "no cosine.raw was measured there"),
        ([record(COSINE, None), record(OVERLAP, 0.4)], "cosine.raw is undefined: nothing"),
        ([record(COSINE, 0.9), record(OVERLAP, None)], "latent_overlap.topk is undefined: nothing"),
        (
            [record(COSINE, 0.99), record(OVERLAP, 0.4), record(OVERLAP, 0.6, options={"k": 9})],
            "latent_overlap.topk@1 was measured with several options",
        ),
    ],
)
def test_what_is_missing_is_said(records: list[Record], why: str) -> None:
    found, row = one(*records)
    assert found.value is None
    assert why in str(found.undefined)
    assert row["verdict"] == f"unknown at layer 3: {found.undefined}"


def test_numbers_of_tokens_chosen_by_cosine_are_passed_over() -> None:
    low = {"options": {"cosine_below": 0.9}}
    every = record(COSINE, 0.97), record(OVERLAP, 0.4)
    found, _ = one(record(COSINE, 0.6, **low), record(OVERLAP, 0.1, **low), *every)
    assert found.value == 1
    (only,) = run(record(COSINE, 0.6, **low), record(OVERLAP, 0.1, **low)).records
    assert "on all tokens of a pair" in str(only.undefined)


def test_pairs_may_be_chosen() -> None:
    other = {"axes": {"pair": "q"}}
    given = (
        record(COSINE, 0.97), record(OVERLAP, 0.4),
        record(COSINE, 0.97, **other), record(OVERLAP, 0.9, **other),
    )  # fmt: skip
    assert len(run(*given).records) == 2
    assert one(*given, pairs=["q"])[0].value == 0


@pytest.mark.parametrize("given", [{"cosine": 1.5}, {"overlap": -1}, {"pairs": []}, {"k": 1}])
def test_bad_options(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(given)
