"""Templates about a run as a whole: that it is invalid, what analyses conclude, what is missing."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Record, Results
from harness.results.answer.sentence import Sentence
from harness.results.conclusions import conclusions
from harness.results.records import grouped

_STEP = 0.001
"""What each further sentence of one table weighs less, so that they keep their order."""


def validity(results: Results) -> Iterator[Sentence]:
    """A sentence where the run is invalid, before all others."""
    if results.status == "invalid":
        why = f": {results.problems[0]}" if results.problems else "."
        yield Sentence(f"This run is invalid, so its numbers answer nothing{why}", 1.0)


def concluded(results: Results) -> Iterator[Sentence]:
    """The sentences that analyses wrote into the column `verdict` of their tables, as they are.

    This is how an analysis of a third party adds to the answer.
    """
    sentences = [text for texts in conclusions(results).values() for text in texts]
    for place, text in enumerate(sentences):
        end = "" if text.rstrip().endswith((".", "!", "?")) else "."
        yield Sentence(f"{text[:1].upper()}{text[1:].rstrip()}{end}", 0.88 - _STEP * min(place, 80))


def gaps(results: Results) -> Iterator[Sentence]:
    """One sentence: how many numbers are undefined, and the commonest reason."""
    missing = [record for record in results.records if record.value is None]
    if not missing:
        return
    by_reason = grouped(missing, lambda record: record.undefined or "no reason was given")
    reason, most = max(by_reason.items(), key=lambda item: len(item[1]))
    more = f" ({len(most)} of them, {_where(most)})" if len(by_reason) > 1 else f" ({_where(most)})"
    text = f"{len(missing)} of {len(results.records)} numbers are undefined{more}: {reason}."
    yield Sentence(text, 0.15, tuple(missing))


def _where(records: list[Record]) -> str:
    """The axes that all of them share, or how many places there are."""
    directions = {str(r.axes["direction"]) for r in records if "direction" in r.axes}
    if len(directions) == 1:
        return f"all of `{directions.pop()}`"
    names = sorted({record.id.partition("@")[0] for record in records})
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more kinds"
