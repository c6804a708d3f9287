"""Template: how a change of behaviour splits, and how much of it the first latents carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import Record, Results
from harness.results.answer.sentence import Sentence
from harness.results.numbers import format_estimate, format_number
from harness.results.records import grouped, named, null_value, record_name

_NAME = "latent_attribution."
_PARTS = ("change", "up", "down", "gap", "top")
_WEIGHT, _REFUSED = 0.8, 0.3
_WORDS = {
    "log_odds": "the log-odds of {words}",
    "logit_difference": "the logit of {words} minus that of {other}",
    "answer": "the log-probability of the answers",
    "answer_per_token": "the log-probability of a token of the answers",
}


def carried(results: Results) -> Iterator[Sentence]:
    """A sentence for each attribution: the change, its two parts, and what few latents carry.

    Of the k that were added up, the first that carry half of what the activations carry, or else
    the most. Where nothing was ranked, it says why.
    """
    mine = named(results.records, *(_NAME + part for part in _PARTS))
    for found in grouped(mine, _place).values():
        by_part = grouped(found, lambda one: record_name(one).removeprefix(_NAME))
        whole = {part: by_part[part][0] for part in _PARTS[:4] if part in by_part}
        if any(part not in whole or whole[part].value is None for part in _PARTS[:3]):
            continue
        yield _sentence(whole, by_part.get("top", []))


def _sentence(whole: Mapping[str, Record], tops: Sequence[Record]) -> Sentence:
    change, up, down = (whole[part] for part in _PARTS[:3])
    axes = change.axes
    text = (
        f"Over `{axes.get('pair')}`, {_number(change.options)} changes by {format_estimate(change)}"
        f" nats: {format_estimate(up)} by the activations at {axes.get('site')}, "
        f"{format_estimate(down)} by the layers above"
    )
    ranked = [one for one in tops if one.value is not None]
    if not ranked:
        why = next((one.undefined for one in tops if one.undefined), None)
        text += f"; no latent is ranked: {why}" if why else ""
        return Sentence(f"{text}.", _REFUSED, (change, up, down))
    ordered = sorted(ranked, key=lambda one: int(str(one.axes["k"])))
    first = next((one for one in ordered if (one.value or 0) >= 0.5), ordered[-1])
    k, chance = first.axes["k"], null_value(first, "value")
    text += (
        f"; {'the first latent carries' if k == 1 else f'the first {k} latents carry'} "
        f"{format_number(first.value)} of the activations' part"
    )
    text += "" if chance is None else f" ({format_number(chance)} with directions dealt out anew)"
    return Sentence(f"{text}.", _WEIGHT, (change, up, down, first))


def _number(options: Mapping[str, Any]) -> str:
    """The number that was followed, in words."""
    words = " or ".join(f'"{one}"' for one in options.get("words", ()))
    told = _WORDS.get(str(options.get("scalar")), "the number")
    return told.replace("{words}", words).replace("{other}", f'"{options.get("other")}"')


def _place(record: Record) -> tuple[object, ...]:
    axes = tuple(sorted((key, str(v)) for key, v in record.axes.items() if key != "k"))
    return (axes, str(sorted(map(str, record.options.items()))))
