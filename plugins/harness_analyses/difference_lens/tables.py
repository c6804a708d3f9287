"""Tables of readings: the tokens of each list, the strengths that were tried, and a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.contract import Model, Record
from harness.text import for_terminal, well_formed
from harness_analyses.difference_lens.found import Found
from harness_analyses.difference_lens.variants import DIFFERENCE, INVERSE, Variant
from harness_analyses.difference_lens.words import Word

Row = dict[str, Any]
_SHOWN = 6
"""Tokens that a sentence quotes, and that a row of strengths has."""


def token_rows(
    model: Model, variant: Variant, found: Sequence[Found], words: Sequence[Word]
) -> Iterator[Row]:
    """A row for each token of each list; all its text is hostile."""
    planted = {token: word.text for word in words for token in word.tokens}
    for one in found:
        for source, reading in one.sources.items():
            listed = zip(reading.said.ids, reading.said.probabilities, strict=True)
            for place, (token, probability) in enumerate(listed, start=1):
                yield {
                    **variant.axes,
                    "position": one.position,
                    "source": source,
                    "place": place,
                    "token": text_of(model, token),
                    "id": token,
                    "probability": probability,
                    "scale": reading.scale,
                    "word": planted.get(token),
                }


def scale_rows(model: Model, variant: Variant, found: Sequence[Found]) -> Iterator[Row]:
    """A row for each strength that was tried."""
    for one in found:
        for source, reading in one.sources.items():
            for trial in reading.trials:
                yield {
                    **variant.axes,
                    "position": one.position,
                    "source": source,
                    "scale": trial.scale,
                    "coherence": trial.coherence,
                    "chosen": trial.scale == reading.scale,
                    "tokens": _quoted(model, trial.said.ids[:_SHOWN]),
                }


def sentence(
    how: str, model: Model, variant: Variant, found: Sequence[Found], records: Sequence[Record]
) -> str:
    """What was found, in one sentence with its numbers."""
    where = f"{how} at {variant.place.site} ({for_terminal(variant.name, 80)})"
    read = [one for one in found if one.why is None]
    if not read:
        return f"{where}: nothing to read, {found[0].why}"
    if ranks := _best_ranks(records):
        return f"{where}: {ranks}"
    halves = [r.value for r in records if r.id.endswith(".split_half@1") and r.value is not None]
    nulls = [
        r.null["value"] for r in records if r.id.endswith(".split_half@1") and r.null is not None
    ]
    said = _quoted(model, read[0].sources[DIFFERENCE].said.ids[:_SHOWN])
    agree = f"halves of the text share {_mean(halves):.2f} of the list" if halves else "no halves"
    chance = f" (labels permuted {_mean(nulls):.2f})" if nulls else ""
    return f"{where}: {agree}{chance}; at position {read[0].position} it begins {said}"


def _best_ranks(records: Sequence[Record]) -> str:
    """The best rank of the words in the difference and in its opposite; empty without words."""
    said = []
    for source, what in ((DIFFERENCE, "the mean difference"), (INVERSE, "its opposite")):
        for record in records:
            if record.id.endswith(".best_rank@1") and record.axes.get("source") == source:
                null, value = record.null, record.value
                if value is not None and null is not None:
                    chance = f"random words {null['value']:.0f}, p = {null['p']:.2g}"
                    said.append(f"{value:.0f} in {what} ({chance})")
    return f"the best rank of the words is {', '.join(said)}" if said else ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _quoted(model: Model, ids: Sequence[int]) -> str:
    return " ".join(f"«{for_terminal(text_of(model, token), 24)}»" for token in ids)


def text_of(model: Model, token: int) -> str:
    """The text of a token as tables can hold it; a token without one by its number."""
    return well_formed(model.decode([token])) or f"<{token}>"
