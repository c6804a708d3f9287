"""The card's section about what was expected before the run, and what was asked at once."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Results
from harness.results import claim_numbers, family_line
from harness_exports.card.markdown import table, text


def expected(results: Results) -> Iterator[str]:
    """Claims with their outcomes; families with their discoveries."""
    if results.claims:
        yield "## What was expected"
        yield ""
        yield (
            "A condition that names a direction of an experiment, other than none, is about an "
            "edited model."
        )
        rows = [
            (
                f"**{text(one.status)}**",
                text(one.text) + (" (written after the run)" if one.late else ""),
                text(one.holds),
                text(claim_numbers(one)),
                text(one.source or "no source"),
            )
            for one in results.claims
        ]
        yield from table(("outcome", "claim", "condition", "numbers", "expected by"), rows)
    if results.families:
        yield "## Discoveries"
        yield ""
        yield from (f"- {text(family_line(one))}" for one in results.families)
        yield ""
