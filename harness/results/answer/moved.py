"""Template: how many tokens moved, and whether the features there are the old ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import Record, Results
from harness.results.answer.difference import apart_from
from harness.results.answer.pairs import (
    PairKey,
    one_per_site,
    pair_name,
    pair_records,
    percent,
    span,
)
from harness.results.answer.sentence import Sentence
from harness.results.by_site import token_condition
from harness.results.numbers import format_estimate, format_number
from harness.results.records import grouped, null_value

_SHARED, _CHANCE = "intersection_ratio.per_token", "intersection_ratio.chance"
_MISSED = "explained_ratio.ratio_of_means"


def moved_tokens(results: Results) -> Iterator[Sentence]:
    """A sentence for each pair: the share of tokens that a filter took as moved, by site.

    Read from `filtered_share` under a limit of the cosine, or from `cosine.share_below` where there
    is no such filter: other filters (a tenth of the tokens, no sinks) say nothing of movement.
    """
    told = set()
    for name, limit in (("filtered_share", "cosine_below"), ("cosine.share_below", "below")):
        for key, found in pair_records(results, name).items():
            mine = [record for record in found if record.options.get(limit) is not None]
            if key in told or not mine:
                continue
            told.add(key)
            where = f"cosine_below={mine[0].options[limit]}"
            alike = [record for record in mine if record.options[limit] == mine[0].options[limit]]
            yield _share(pair_name(key), where, one_per_site(alike))


def _share(pair: str, where: str, records: Sequence[Record]) -> Sentence:
    most = max(records, key=lambda record: record.value or 0.0)
    shares = percent([record.value or 0.0 for record in records])
    if not most.value or (most.ci is not None and most.ci[0] <= 0):
        text = f"{pair}: no token is seen to have moved ({where}: {format_estimate(most)} at most)."
        return Sentence(text, 0.5, tuple(records))
    at = f"most at {most.axes['site']}" if len(records) > 1 else f"at {most.axes['site']}"
    text = f"{pair}: {shares} of the tokens moved ({where}), {at}."
    return Sentence(text, 0.4 + 0.2 * most.value, tuple(records))


def features_kept(results: Results) -> Iterator[Sentence]:
    """A sentence for each pair: which part of the active features is the same (IR), beside chance,
    and what the SAE misses of the change (ER)."""
    for key, mine in pair_records(results, _SHARED).items():
        for where, under in grouped(mine, token_condition).items():
            yield _kept(results, key, where, under)


def _kept(results: Results, key: PairKey, where: str, shared: Sequence[Record]) -> Sentence:
    others = [_same_tokens(results, key, name, where) for name in (_CHANCE, _MISSED)]
    chance, missed = others
    by_site = {str(r.axes["site"]): r.value or 0.0 for r in chance}
    at = f" where tokens moved ({where})" if where else ""
    values = [r.value or 0.0 for r in shared]
    if all(apart_from(r, null_value(r) or 1.0) is False for r in shared):
        text = f"{pair_name(key)}: no change of the active features seen{at}: IR {span(values)}"
    elif by_site and all(_no_more(r, by_site.get(str(r.axes["site"]))) for r in shared):
        text = (
            f"{pair_name(key)}: the two models share no more active features than chance{at}: IR "
            f"{span(values)}"
        )
    else:
        text = (
            f"{pair_name(key)}: of the features active in either model, {percent(values)} are "
            f"active in both{at} (IR"
        )
        text += f" {format_estimate(shared[0])})" if len(shared) == 1 else f" {span(values)})"
    text += f"; {format_number(null_value(shared[0]) or 1.0)} if nothing differed"
    if by_site:
        text += f", {span(list(by_site.values()))} by chance"
    if missed:
        errors = [r.value or 0.0 for r in missed]
        text += f"; what the SAE misses there is {span(errors)} times the change (ER)"
    return Sentence(f"{text}.", 0.5, (*shared, *chance, *missed))


def _same_tokens(results: Results, key: PairKey, name: str, where: str) -> list[Record]:
    mine = pair_records(results, name).get(key, [])
    return [record for record in mine if token_condition(record) == where]


def _no_more(record: Record, chance: float | None) -> bool:
    """Whether the record's interval reaches down to chance."""
    low = record.value if record.ci is None else record.ci[0]
    return chance is not None and low is not None and low <= chance
