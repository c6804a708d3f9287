"""What a task claimed, in one line each: how a reader is told how a claim came out."""

from __future__ import annotations

import re

from harness.contract import ClaimOutcome
from harness.results.numbers import format_number

_BOUND = re.compile(r"(<=|>=|<|>)\s*\S+\s*$")
"""The comparison and the number at the end of a condition."""


def claim_line(outcome: ClaimOutcome) -> str:
    """A claim and how it came out, as one sentence with its numbers. Hostile, like the claim.

    `supported: Base features mediate refusal: 0.00 [0.00, 0.04], expected <= 0.5 (100 prompts);
    random_features 0.32, difference -0.32 [-0.41, -0.23].`
    """
    text = f"{outcome.status}: {outcome.text.strip().rstrip('.')}"
    if outcome.late:
        text += " (written after the run)"
    return f"{text}: {claim_numbers(outcome)}."


def claim_numbers(outcome: ClaimOutcome) -> str:
    """What a claim was decided by: effect, interval, bound, n and control, or why it has none."""
    parts = []
    if outcome.effect is not None:
        found = _BOUND.search(outcome.holds)
        wanted = f", expected {found[0].strip()}" if found else ""
        counted = f" ({outcome.n:,} {outcome.n_of})" if outcome.n is not None else ""
        parts.append(_estimate(outcome.effect, outcome.ci) + wanted + counted)
    if outcome.control is not None and outcome.against is not None:
        control = f"{outcome.against} {format_number(outcome.control)}"
        if outcome.difference is not None:
            control += f", difference {_estimate(outcome.difference, outcome.difference_ci)}"
        parts.append(control)
    if outcome.more is not None:
        parts.append(f"about {outcome.more:,} more {outcome.n_of} would decide it")
    if outcome.why:
        parts.append(outcome.why.strip().rstrip("."))
    return "; ".join(parts) or "nothing is known of it"


def _estimate(value: float, ci: tuple[float, float] | None) -> str:
    text = format_number(value)
    return text if ci is None else f"{text} [{', '.join(map(format_number, ci))}]"
