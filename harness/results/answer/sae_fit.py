"""Template: whether the base model's SAEs still explain the other model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.contract import Record, Results
from harness.results.answer.difference import Difference, difference
from harness.results.answer.pairs import pair_name, pair_records
from harness.results.answer.sentence import Sentence
from harness.results.numbers import format_estimate
from harness.results.records import by_axis, grouped

_FVU = "fvu.pooled"
Both = tuple[Record, Record, Difference | None]
"""FVU of the left and of the right view at one place, and right minus left."""


def sae_fit(results: Results) -> Iterator[Sentence]:
    """A sentence for each pair: FVU of the right view beside that of the left one."""
    for key, mine in pair_records(results, _FVU).items():
        left, right = _views(results, str(key[0]))
        both: list[Both] = []
        places = grouped(mine, lambda r: (r.axes["site"], r.axes.get("sae"), str(r.options)))
        for found in places.values():
            by_view = by_axis(found, "view")
            if left in by_view and right in by_view:
                one, other = by_view[left][0], by_view[right][0]
                both.append((one, other, difference(other, one)))
        if both:
            yield _sentence(pair_name(key), str(left), str(right), both)


def _sentence(pair: str, left: str, right: str, both: list[Both]) -> Sentence:
    most = max(both, key=lambda one: abs((one[1].value or 0.0) - (one[0].value or 0.0)))
    worse = [one for one in both if one[2] is not None and one[2].low > 0]
    better = [one for one in both if one[2] is not None and one[2].high < 0]
    numbers = f"FVU {format_estimate(most[1])} in {right}, {format_estimate(most[0])} in {left}"
    records = tuple(record for one in both for record in one[:2])
    many = len(both) > 1
    at = f"most at {most[0].axes['site']}" if many else f"at {most[0].axes['site']}"
    if worse or better:
        word, count = ("worse", worse) if len(worse) >= len(better) else ("better", better)
        of = f" at {len(count)} of {len(both)} places" if many else ""
        text = f"{pair}: the SAEs explain {right} {word} than {left}{of}, {at} ({numbers})."
        size = abs((most[1].value or 0.0) - (most[0].value or 0.0))
        return Sentence(text, 0.4 + 0.2 * min(1.0, size), records)
    if any(one[2] is not None for one in both):
        text = f"{pair}: no difference seen in how the SAEs explain {right} and {left} ({numbers})."
        return Sentence(text, 0.3, records)
    text = f"{pair}: {numbers} {at}; there is no interval to judge by."
    return Sentence(text, 0.2, records)


def _views(results: Results, pair: str) -> tuple[str | None, str | None]:
    """The views on both sides of a pair, as the task names them."""
    pairs = results.task.get("pairs")
    table = pairs.get(pair) if isinstance(pairs, Mapping) else None
    if not isinstance(table, Mapping):
        return None, None
    return table.get("left"), table.get("right")
