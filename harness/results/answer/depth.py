"""Template: where in depth two models are furthest apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import Record, Results
from harness.results.answer.difference import difference
from harness.results.answer.pairs import one_per_site, pair_name, pair_records, span
from harness.results.answer.sentence import Sentence
from harness.results.numbers import format_estimate, format_number
from harness.results.records import null_value

_MEASURES = (
    ("cosine.raw", "cosine of activations"),
    ("latent_overlap.topk", "overlap of latents"),
    ("difference.relative", "difference over the activation"),
)
"""The first of them that a pair has says how far apart its models are: by its distance from what
identical models have (`Record.null`)."""
_EQUAL = 1e-6


def depth(results: Results) -> Iterator[Sentence]:
    """A sentence for each pair: the site of the largest change, or that no site stands out."""
    told = set()
    for name, words in _MEASURES:
        for key, mine in pair_records(results, name).items():
            known = [r for r in one_per_site(mine) if null_value(r) is not None]
            if known and key not in told:
                told.add(key)
                yield _sentence(pair_name(key), words, known)


def _sentence(pair: str, words: str, records: Sequence[Record]) -> Sentence:
    same = f"{format_number(null_value(records[0]))} if nothing differed"
    far = max(records, key=_distance)
    near = min(records, key=_distance)
    weight = 0.5 + 0.3 * min(1.0, _distance(far))
    if all(_is_same(record) for record in records):
        sites = f"at any of {len(records)} sites" if len(records) > 1 else f"at {_site(far)}"
        text = f"{pair}: no difference between the two models seen {sites} ({words} {_all(records)}"
        return Sentence(f"{text}; {same}).", 0.6, tuple(records))
    if len(records) == 1:
        text = f"{pair}: {words} {format_estimate(far)} at {_site(far)} ({same})."
        return Sentence(text, weight - 0.1, tuple(records))
    gap = difference(far, near)
    if gap is not None and not gap.seen:
        text = f"{pair}: no site stands out: {words} {_all(records)} at {len(records)} sites"
        return Sentence(f"{text} ({same}).", weight - 0.1, tuple(records))
    text = (
        f"{pair}: the two models are furthest apart at {_site(far)} ({words} "
        f"{format_estimate(far)}), least at {_site(near)} ({format_estimate(near)}; {same})"
    )
    unjudged = "; there is no interval to judge by" if gap is None else ""
    return Sentence(f"{text}{unjudged}.", weight - 0.15 * (gap is None), tuple(records))


def _distance(record: Record) -> float:
    return abs((record.value or 0.0) - (null_value(record) or 0.0))


def _is_same(record: Record) -> bool:
    """Whether the record is what identical models have, or its interval holds that."""
    null = null_value(record) or 0.0
    low, high = record.ci or (record.value or 0.0, record.value or 0.0)
    return low - _EQUAL <= null <= high + _EQUAL


def _all(records: Sequence[Record]) -> str:
    if len(records) == 1:
        return format_estimate(records[0])
    return span([record.value or 0.0 for record in records])


def _site(record: Record) -> str:
    return str(record.axes["site"])
