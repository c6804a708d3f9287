"""Says where an SAE explains so little of what was read that its features say little."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Results
from harness.results.answer.profile import percent, profiles
from harness.results.answer.sentence import Sentence
from harness.results.records import named

LIMIT = 0.5
"""The share of variance that an SAE may leave unexplained of the model that it was trained on."""


def poor_fit(results: Results) -> Iterator[Sentence]:
    """A sentence where SAEs of a pair that was profiled leave more than half unexplained."""
    pairs = {profile.pair for profile in profiles(results)}
    poor = [
        record
        for record in named(results.records, "fvu.pooled")
        if record.axes.get("pair") in pairs
        and record.axes.get("view") == _left(results, str(record.axes["pair"]))
        and (record.value or 0.0) > LIMIT
    ]
    if poor:
        worst = max(poor, key=lambda record: record.value or 0.0)
        yield Sentence(
            f"Of this text the SAE {worst.axes.get('sae')} leaves {percent(worst.value)} "
            "unexplained in the model before: read its features with care.",
            0.5,
            tuple(poor),
        )


def _left(results: Results, pair: str) -> object:
    return results.task.get("pairs", {}).get(pair, {}).get("left")
