"""Templates: how many latents flip in which pair, and whether the main directions do it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Record, Results
from harness.results.answer.difference import apart_from, by_chance, difference
from harness.results.answer.pairs import pair_records, span
from harness.results.answer.sentence import Sentence
from harness.results.numbers import format_estimate
from harness.results.records import null_value


def flips(results: Results) -> Iterator[Sentence]:
    """One sentence: the pair and the site at which most latents flip, and the fewest."""
    mine = [
        record
        for found in pair_records(results, "flip_rate.token").values()
        for record in found
        if record.axes.get("injection", "none") == "none"
    ]
    if not mine:
        return
    most = max(mine, key=lambda record: record.value or 0.0)
    if not most.value:
        pairs = len({record.axes["pair"] for record in mine})
        yield Sentence(f"No latent flips in any of {pairs} pairs.", 0.7, tuple(mine))
        return
    tops: dict[str, Record] = {}
    for record in mine:
        pair = str(record.axes["pair"])
        if pair not in tops or (record.value or 0.0) > (tops[pair].value or 0.0):
            tops[pair] = record
    fewest = min(tops.values(), key=lambda record: record.value or 0.0)
    text = f"Most latents flip in {_place(most)}: {format_estimate(most)} per token"
    if len(tops) > 1:
        gap = difference(most, fewest)
        if gap is not None and not gap.seen:
            text = (
                f"No difference seen between the flips of {len(tops)} pairs: {_place(most)} "
                f"{format_estimate(most)} per token"
            )
        text += f"; fewest in `{fewest.axes['pair']}` ({format_estimate(fewest)})"
    yield Sentence(f"{text}; 0 if nothing differed.", 0.8, tuple(mine))


def injected_flips(results: Results) -> Iterator[Sentence]:
    """One sentence: flips under the main directions of a change over those under random vectors."""
    found = pair_records(results, "flip_rate.over_random")
    mine = [record for records in found.values() for record in records]
    judged = [r for r in mine if r.ci is not None and null_value(r) is not None]
    if not mine:
        return
    text = (
        "The main directions of the change flip "
        f"{span([record.value or 0.0 for record in mine])} times as many latents as random "
        "vectors of the same length"
    )
    apart = [r for r in judged if apart_from(r, null_value(r) or 0.0)]
    more = sum((r.value or 0.0) > (null_value(r) or 0.0) for r in apart)
    if not judged:
        text += "; there is no interval to judge by"
    elif not apart:
        text += f": no difference seen in any of {len(judged)} cases"
    else:
        fewer, same = len(apart) - more, len(judged) - len(apart)
        counts = [f"more in {more} of {len(judged)} cases", f"fewer in {fewer}"]
        counts.append(f"no difference seen in {same}")
        text += f": {', '.join(counts)}{by_chance(len(judged), 'a difference')}"
    yield Sentence(f"{text}.", 0.79, tuple(mine))


def _place(record: Record) -> str:
    return f"`{record.axes['pair']}` at {record.axes['site']}"
