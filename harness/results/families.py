"""What many tests at once have found, in one line each: how a reader is told of discoveries."""

from __future__ import annotations

from harness.contract import FamilyOutcome
from harness.results.numbers import format_number


def family_line(outcome: FamilyOutcome) -> str:
    """A family and its discoveries, as one sentence with its numbers. Hostile, like the family.

    `Arms that change refusal: 11 of 19 asked are discoveries, at most 5% of them false on average;
    12 have p <= 0.05, and by chance at most 0.95 would.`
    """
    late = " (written after the run)" if outcome.late else ""
    return f"{outcome.text.strip().rstrip('.')}{late}: {family_numbers(outcome)}."


def family_numbers(outcome: FamilyOutcome) -> str:
    """How many were asked, found, and expected by chance; or why nothing is known of it."""
    if outcome.discoveries is None:
        asked = f"{outcome.tested:,} asked; " if outcome.tested else ""
        return f"{asked}{(outcome.why or 'nothing is known of it').strip().rstrip('.')}"
    if outcome.discoveries:
        are = "is a discovery" if outcome.discoveries == 1 else "are discoveries"
        text = f"{outcome.discoveries:,} of {outcome.tested:,} asked {are}, at most "
        text += f"{100 * outcome.rate:g}% of them false on average"
    else:
        text = f"none of {outcome.tested:,} asked is a discovery at a rate of {outcome.rate:g}"
    have = "has" if outcome.small == 1 else "have"
    text += f"; {outcome.small or 0:,} {have} p <= {outcome.rate:g}, and by chance at most "
    text += f"{by_chance(outcome)} would"
    if outcome.without_p:
        count = "has no p and counts" if outcome.without_p == 1 else "have no p and count"
        text += f"; {outcome.without_p:,} {count} as 1"
    if outcome.out_of_reach:
        text += f"; {outcome.out_of_reach:,} could not have been discoveries: {outcome.reason}"
    return text


def family_brief(outcome: FamilyOutcome) -> str:
    """The numbers in few characters: `11 of 19; p <= 0.05: 12, by chance 0.95`."""
    if outcome.discoveries is None:
        return family_numbers(outcome)
    text = f"{outcome.discoveries:,} of {outcome.tested:,}; p <= {outcome.rate:g}: "
    return f"{text}{outcome.small or 0:,}, by chance {by_chance(outcome)}"


def count_discoveries(outcomes: tuple[FamilyOutcome, ...]) -> str:
    """`11 of 19 and 0 of 40 are discoveries`; empty without families."""
    known = [
        "unmeasured" if one.discoveries is None else f"{one.discoveries:,} of {one.tested:,}"
        for one in outcomes
    ]
    return f"discoveries: {', '.join(known)}" if known else ""


def by_chance(outcome: FamilyOutcome) -> str:
    """How many would be there by chance, as a count where there are many."""
    expected = outcome.expected or 0.0
    return f"{expected:,.0f}" if expected >= 10 else format_number(expected)
