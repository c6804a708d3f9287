"""Claims in results: they come back from the file as they were, and read as one sentence each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from harness.contract import ClaimOutcome, Results
from harness.results import claim_line, load_results
from harness.results.write import write_results

SUPPORTED = ClaimOutcome(
    "mediation",
    "Base features mediate refusal.",
    "refusal_score[experiment=bypass] <= 0.5",
    "supported",
    effect=0.0,
    ci=(0.0, 0.037),
    bound=0.5,
    n=100,
    n_of="prompts",
    against="random_features",
    control=0.316,
    difference=-0.316,
    difference_ci=(-0.37, -0.26),
    source="FD, section 5",
    written="2026-11-28T16:04:51Z",
)
SPARSE = ClaimOutcome("gone", "a", "x > 1", "unmeasured", why="nothing was measured")


def results(*claims: ClaimOutcome) -> Results:
    return Results("complete", {"name": "x"}, {}, (), claims=claims)


def test_claims_come_back_as_they_were(tmp_path: Path) -> None:
    written = results(SUPPORTED, SPARSE)
    write_results(tmp_path, written)
    assert load_results(tmp_path) == written
    assert load_results(tmp_path).claims[0].difference_ci == (-0.37, -0.26)


def test_results_of_an_earlier_version_have_no_claims(tmp_path: Path) -> None:
    write_results(tmp_path, results(SUPPORTED))
    file = tmp_path / "results.json"
    content = json.loads(file.read_text())
    del content["claims"]
    file.write_text(json.dumps(content))
    assert load_results(tmp_path).claims == ()


def test_a_line_has_status_words_numbers_and_control() -> None:
    assert claim_line(SUPPORTED) == (
        "supported: Base features mediate refusal: 0 [0, 0.04], expected <= 0.5 (100 prompts); "
        "random_features 0.32, difference -0.32 [-0.37, -0.26]."
    )


def test_a_line_without_numbers_says_why() -> None:
    assert claim_line(SPARSE) == "unmeasured: a: nothing was measured."


@given(st.booleans(), st.integers(1, 10**6))
def test_what_is_late_and_what_is_missing_are_said(late: bool, more: int) -> None:
    line = claim_line(
        ClaimOutcome(
            "a", "words", "x < 1", "undecided", 0.9, (0.8, 1.1), 1.0, 7, "tokens",
            more=more, late=late,
        )
    )  # fmt: skip
    assert ("written after the run" in line) == late
    assert f"about {more:,} more tokens would decide it" in line


@pytest.mark.parametrize("holds", ["x <= 0.5", "a[b=c] - d < -1e-3", "x / y > 2"])
def test_the_bound_is_shown_as_the_task_writes_it(holds: str) -> None:
    shown = claim_line(ClaimOutcome("a", "b", holds, "supported", 0.1, (0.0, 0.2)))
    assert f"expected {' '.join(holds.split()[-2:])}" in shown
