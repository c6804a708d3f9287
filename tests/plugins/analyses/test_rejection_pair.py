"""What should be rejected and what should not: both or none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from harness.contract import Findings, Record
from harness.testing import check_analysis
from harness_analyses.options import RejectionPairOptions
from harness_analyses.rejection_pair import RejectionPair

GIVEN = {"toxic": "toxic", "hard": "hard", "evaluator": "judge"}


def record(experiment: str, value: float | None, direction: str = "none", **more: Any) -> Record:
    axes = {"experiment": experiment, "data": experiment, "view": "chat", "direction": direction,
            "evaluator": "judge", **more}  # fmt: skip
    ci = None if value is None else (value - 0.1, value + 0.1)
    why = "nothing was asked" if value is None else None
    id, options = "refusal_score.or_bench@1", {"template_sha256": "x"}
    return Record(
        id, value, 9, "prompts", "share", options, ci=ci, ci_why=why, undefined=why, axes=axes
    )


def pair() -> RejectionPair:
    return RejectionPair(RejectionPairOptions.model_validate(GIVEN))


FULL = Findings((
    record("toxic", 0.9), record("hard", 0.4), record("toxic", 0.2, "refusal", k=8),
    record("hard", 0.1, "refusal", k=8), record("toxic", 0.5, evaluator="other"),
    replace(record("toxic", 0.3), id="refusal_score@1"),
))  # fmt: skip


def test_both_rates_of_each_arm() -> None:
    outcome = pair().run(FULL)
    found = {
        (r.id, r.axes["direction"]): (r.value, r.ci, r.n, r.axes.get("k")) for r in outcome.records
    }
    assert found == {
        ("rejected.toxic@1", "none"): (0.9, (0.8, 1.0), 9, None),
        ("rejected.hard@1", "none"): (0.4, pytest.approx((0.3, 0.5)), 9, None),
        ("rejected.toxic@1", "refusal"): (0.2, pytest.approx((0.1, 0.3)), 9, 8),
        ("rejected.hard@1", "refusal"): (0.1, (0.0, 0.2), 9, 8),
    }
    assert all("experiment" not in r.axes for r in outcome.records)
    assert [row["verdict"] for row in outcome.tables["findings"]] == [
        "as it is, the model rejects 0.90 [0.80, 1.00] of the prompts of toxic, which it should, "
        "and 0.40 [0.30, 0.50] of those of hard, which it should not"
    ]


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ((record("toxic", 0.9),), "experiments.hard has no such arm"),
        ((record("toxic", 0.9), record("hard", None)), "experiments.hard: nothing was asked"),
        ((record("toxic", None), record("hard", 0.1)), "experiments.toxic: nothing was asked"),
        ((), "no experiment has a record refusal_score.or_bench of judge"),
    ],
)
def test_never_one_alone(records: tuple[Record, ...], why: str) -> None:
    outcome = pair().run(Findings(records))
    assert [r.id for r in outcome.records] == ["rejected.toxic@1", "rejected.hard@1"]
    for found in outcome.records:
        assert found.value is None
        assert found.undefined is not None
        assert found.undefined.startswith(why)
    assert not outcome.tables.get("findings")


def test_two_experiments_are_needed() -> None:
    with pytest.raises(ValidationError, match="one rate alone says little"):
        RejectionPairOptions.model_validate({**GIVEN, "hard": "toxic"})
    with pytest.raises(ValidationError, match="Field required"):
        RejectionPairOptions.model_validate({"toxic": "toxic", "evaluator": "judge"})


def test_the_laws_of_analyses() -> None:
    check_analysis(pair(), FULL)
